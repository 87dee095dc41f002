/**
 * What metrics, request log and request id cost a cached read: CPU microseconds of the server process for each GET, with
 * all of them and without, in the same run; the servers take turns. The id, which every response has, is timed by itself
 * and added to what the others cost.
 */
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { demoSettings, start } from "../test/integration/Process.ts"
import { requestId } from "../src/api/RequestId.ts"
import { connections, cpuMicros, load, median } from "./ReadLoad.ts"

const rounds = 25
const requests = 4000
const goal = 0.25

const print = (text: string) => Effect.sync(() => process.stdout.write(`${text}\n`))

/** Microseconds that a response's id takes: made, and set as a header field. */
const idMicros = (): number => {
  const response = HttpServerResponse.text("{}", { contentType: "application/json", headers: { age: "0" } })
  const once = () => HttpServerResponse.setHeaders(response, { "x-request-id": requestId(undefined) })
  for (let i = 0; i < 200_000; i++) once()
  const from = process.cpuUsage()
  for (let i = 0; i < 1_000_000; i++) once()
  const { user, system } = process.cpuUsage(from)
  return (user + system) / 1_000_000
}

const main = Effect.gen(function* () {
  const id = idMicros()
  const measured = []
  for (const observed of ["no", "yes"]) {
    const instance = yield* start({ ...demoSettings, OBSERVED: observed }, "bench/ObservedServer.ts")
    const port = yield* instance.port
    yield* load(port, 5 * requests)
    measured.push({ observed, port, pid: instance.child.pid ?? 0, micros: new Array<number>() })
  }
  for (let round = 0; round < rounds; round++) {
    for (const { micros, pid, port } of measured) {
      const before = cpuMicros(pid)
      yield* load(port, requests)
      micros.push((cpuMicros(pid) - before) / requests)
    }
  }
  yield* print(`${requests} GETs a round, ${rounds} rounds, ${connections} connections; CPU us/request (min..max)`)
  for (const { observed, micros } of measured) {
    yield* print(
      `metrics and log: ${observed.padEnd(4)} ${median(micros).toFixed(1)} (${Math.min(...micros).toFixed(1)}..${Math.max(...micros).toFixed(1)})`
    )
  }
  // Of each round its own ratio: what else the machine does changes from round to round.
  const [off, on] = measured
  const base = off?.micros ?? []
  const share = median((on?.micros ?? []).map((micros, round) => (micros + id) / (base[round] ?? 0))) - 1
  yield* print(`request id           ${id.toFixed(2)}`)
  yield* print(
    `together             ${(100 * share).toFixed(1)} % of a read without them (goal: at most ${100 * goal} %)`
  )
})

await Effect.runPromise(Effect.scoped(main))
