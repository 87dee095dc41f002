/**
 * What an attack does to the reads of an identified client: 2,000 connections that stall in their handshake or dribble a
 * header block, and 200 clients without a certificate that ask as fast as they are answered, against the service with its
 * default limits. One client reads at a steady rate over kept-alive connections, another over a new connection for each read;
 * both do so first without the attack. Every read must succeed.
 */
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { type Attack, attack, type Reads, steadyReads } from "../test/integration/Attack.ts"
import { demoSettings, start } from "../test/integration/Process.ts"

const seconds = 10
const dribblers: ReadonlyArray<Attack> = [{ handshakes: 1000 }, { headers: 1000 }]
const attackFromHere: ReadonlyArray<Attack> = [
  { handshakes: 1000, sources: 1 },
  { headers: 1000, sources: 1 },
  { flooders: 200, sources: 1 }
]

const print = (text: string) => Effect.sync(() => process.stdout.write(`${text}\n`))

const cpuSeconds = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

const residentMegabytes = (pid: number): number =>
  Math.round(Number(/VmRSS:\s*([0-9]+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024)

const quantile = (values: ReadonlyArray<number>, q: number) =>
  (values.toSorted((a, b) => a - b)[Math.ceil(values.length * q) - 1] ?? Number.NaN).toFixed(1).padStart(8)

const row = (name: string, { asked, failures, millis }: Reads) =>
  print(
    `${name.padEnd(58)} ${String(millis.length).padStart(5)} of ${String(asked).padEnd(5)}${quantile(millis, 0.5)}${quantile(millis, 0.99)}${quantile(millis, 1)}${failures.length === 0 ? "" : ` ${[...new Set(failures)].join(", ")}`}`
  )

const measure = Effect.fnUntraced(function* (name: string, port: number, pid: number) {
  const before = cpuSeconds(pid)
  const [kept, fresh] = yield* Effect.all(
    [
      steadyReads(port, { perSecond: 100, count: 100 * seconds, keptAlive: true }),
      steadyReads(port, { perSecond: 10, count: 10 * seconds, keptAlive: false })
    ],
    {
      concurrency: "unbounded"
    }
  )
  yield* row(`${name}, kept-alive`, kept)
  yield* row(`${name}, a connection each`, fresh)
  yield* print(
    `  the service: ${Math.round((100 * (cpuSeconds(pid) - before)) / seconds)} % of a core, ${residentMegabytes(pid)} MB`
  )
})

const main = Effect.gen(function* () {
  const service = yield* start(demoSettings)
  const port = yield* service.port
  const pid = service.child.pid ?? 0
  yield* service.printed("Ready")
  yield* steadyReads(port, { perSecond: 100, count: 500, keptAlive: true })
  yield* print(`${"reads of an identified client".padEnd(58)} ${"succeeded".padEnd(14)}  p50 ms  p99 ms  max ms`)
  yield* measure("without an attack", port, pid)
  for (const [name, attacks] of [
    ["2,000 dribble", dribblers],
    ["200 flood", [{ flooders: 200 }]],
    ["2,000 dribble, 200 flood", [...dribblers, { flooders: 200 }]],
    ["the same from the client's own address", attackFromHere],
    ["200 flood, 500 requests a packet", [{ flooders: 200, pipelined: 500 }]]
  ] as const) {
    yield* Effect.scoped(
      Effect.gen(function* () {
        const attackers = yield* Effect.forEach(attacks, (one: Attack) => attack(port, one))
        for (const { printed } of attackers) yield* printed("\n")
        yield* Effect.sleep(3000)
        yield* measure(name, port, pid)
        for (const { output } of attackers) yield* print(`  the attackers: ${output().trimEnd().split("\n").at(-1)}`)
      })
    )
  }
})

await Effect.runPromise(Effect.scoped(main))
