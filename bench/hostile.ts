/**
 * Reads of an identified client under attack, with the default limits: 2,000 connections that stall in their handshake or
 * dribble a header block, and 200 clients without a certificate that send a request after each response. One client reads at
 * a fixed rate over keep-alive connections, another over a new connection for each read. Every read must succeed.
 */
import { Effect } from "effect"
import { type Attack, attack, type Reads, steadyReads } from "../test/support/Attack.ts"
import { demoSettings, start } from "../test/support/Process.ts"
import { cpuMicros, residentMegabytes } from "./ProcessUsage.ts"
import { isQuick, print, title } from "./Report.ts"
import { quantile } from "./Spread.ts"

const dribblers: ReadonlyArray<Attack> = [{ handshakes: 1000 }, { headers: 1000 }]
const attackFromHere: ReadonlyArray<Attack> = [
  { handshakes: 1000, sources: 1 },
  { headers: 1000, sources: 1 },
  { flooders: 200, sources: 1 }
]

const row = (name: string, { asked, failures, millis }: Reads) =>
  print(
    `${name.padEnd(58)} ${String(millis.length).padStart(5)} of ${String(asked).padEnd(5)}${[0.5, 0.99, 1].map((q) => quantile(millis, q).toFixed(1).padStart(8)).join("")}${failures.length === 0 ? "" : ` ${[...new Set(failures)].join(", ")}`}`
  )

const measure = Effect.fnUntraced(function* (name: string, port: number, pid: number, seconds: number) {
  const before = cpuMicros(pid)
  const [kept, fresh] = yield* Effect.all(
    [
      steadyReads(port, { perSecond: 100, count: 100 * seconds, keptAlive: true }),
      steadyReads(port, { perSecond: 10, count: 10 * seconds, keptAlive: false })
    ],
    {
      concurrency: "unbounded"
    }
  )
  yield* row(`${name}, kept alive`, kept)
  yield* row(`${name}, new connections`, fresh)
  yield* print(
    `  the service: ${Math.round((cpuMicros(pid) - before) / (seconds * 10_000))} % of a core, ${residentMegabytes(pid).toFixed(0)} MiB`
  )
})

const main = Effect.gen(function* () {
  const seconds = (yield* isQuick) ? 2 : 10
  yield* title("hostile")
  const service = yield* start(demoSettings)
  const port = yield* service.port
  const pid = service.child.pid ?? 0
  yield* service.printed("Ready")
  yield* steadyReads(port, { perSecond: 100, count: 500, keptAlive: true })
  yield* print(`${"reads of an identified client".padEnd(58)} ${"succeeded".padEnd(14)}  p50 ms  p99 ms  max ms`)
  yield* measure("without an attack", port, pid, seconds)
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
        // The attack reaches its full size within three seconds.
        yield* Effect.sleep(3000)
        yield* measure(name, port, pid, seconds)
        for (const { output } of attackers) yield* print(`  the attackers: ${output().trimEnd().split("\n").at(-1)}`)
      })
    )
  }
})

await Effect.runPromise(Effect.scoped(main))
