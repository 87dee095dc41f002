/**
 * What a cached read costs: CPU microseconds of the server process for each GET of one replica count, over 32 kept-alive
 * mutual TLS connections, against a bare node:https server that writes the same body. Both run as processes of their own
 * and take turns; the median of the rounds and their spread are printed, and the resident memory at the end.
 */
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { demoSettings, start } from "../test/integration/Process.ts"
import { connections, cpuMicros, load, median } from "./ReadLoad.ts"

const rounds = 5
const requests = 10_000

const residentMegabytes = (pid: number): number =>
  Math.round(Number(/VmRSS:\s*([0-9]+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024)

const print = (text: string) => Effect.sync(() => process.stdout.write(`${text}\n`))

const main = Effect.gen(function* () {
  const servers = [
    { name: "bare node:https", instance: yield* start({}, "bench/BareServer.ts") },
    { name: "kube-resource-api", instance: yield* start(demoSettings) }
  ]
  const measured = []
  for (const { name, instance } of servers) {
    const port = yield* instance.port
    yield* load(port, requests)
    measured.push({ name, port, pid: instance.child.pid ?? 0, micros: new Array<number>() })
  }
  for (let round = 0; round < rounds; round++) {
    for (const { micros, pid, port } of measured) {
      const before = cpuMicros(pid)
      yield* load(port, requests)
      micros.push((cpuMicros(pid) - before) / requests)
    }
  }
  yield* print(`${requests} GETs a round, ${rounds} rounds, ${connections} connections`)
  yield* print(`${"server".padEnd(20)} CPU us/request (min..max)   RSS MB`)
  for (const { name, micros, pid } of measured) {
    yield* print(
      `${name.padEnd(20)} ${median(micros).toFixed(1)} (${Math.min(...micros).toFixed(1)}..${Math.max(...micros).toFixed(1)})`.padEnd(
        48
      ) + residentMegabytes(pid)
    )
  }
  const [bare, ours] = measured.map(({ micros }) => median(micros))
  yield* print(`ratio ${((ours ?? 0) / (bare ?? 1)).toFixed(2)}`)
})

await Effect.runPromise(Effect.scoped(main))
