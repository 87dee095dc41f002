/**
 * Cached reads: CPU microseconds of the server's process for each GET and GETs a second, of the whole service (mutual TLS,
 * identity, policy, rate limit) against a bare node:https server that writes the same bodies; then the latency of both at
 * half of the service's capacity.
 */
import { Effect } from "effect"
import { agent, send } from "../test/support/Https.ts"
import { onServerCore } from "./Command.ts"
import { makeLoad, pacedReads } from "./Load.ts"
import { plot } from "./Plot.ts"
import { startBare, startCluster, startService } from "./Programs.ts"
import { residentMegabytes } from "./ProcessUsage.ts"
import { isQuick, print, result, table, title } from "./Report.ts"
import { figures, median, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

const oneCount = "/namespaces/load-00007/deployments/deployment-00007/replica_count"
const short = {
  deployments: "/namespaces/load-00007/deployments",
  "one count": oneCount,
  counts: "/namespaces/load-00007/deployments/ANY/replica_count"
}
const long = {
  "all deployments": "/namespaces/ANY/deployments",
  "all counts": "/namespaces/ANY/deployments/ANY/replica_count"
}
const paths = { ...short, ...long }

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  const rounds = quick ? 1 : 5
  // The results of long bodies spread more.
  const longRounds = quick ? 1 : 9
  yield* title("reads")
  const load = yield* makeLoad
  const ours = yield* startService(yield* startCluster({ namespaces: 500, each: 40 }))
  const pool = yield* agent("viewer", 1)
  const bodies: Record<string, string> = {}
  for (const path of Object.values(paths)) {
    bodies[path] = (yield* send(ours.port, { client: "viewer", path, agent: pool })).body
  }
  const bare = yield* startBare(bodies)
  for (const { pid } of [ours, bare]) yield* onServerCore(pid)

  const compare = Effect.fnUntraced(function* (path: string, connections: number, count: number, rounds: number) {
    const run = (server: typeof ours) => load(server, { path, connections, count })
    // A warm-up.
    yield* Effect.forEach([ours, bare], run)
    const [a, b] = yield* takeTurns([ours, bare], rounds, run)
    const [oursMicros = [], bareMicros = []] = [a, b].map((turn) => figures(turn?.results ?? [], "micros"))
    const [oursPerSecond = [], barePerSecond = []] = [a, b].map((turn) => figures(turn?.results ?? [], "perSecond"))
    return {
      path,
      connections,
      oursMicros,
      bareMicros,
      micros: ratios(oursMicros, bareMicros),
      oursPerSecond,
      perSecond: ratios(oursPerSecond, barePerSecond),
      bytes: bodies[path]?.length ?? 0,
      barePerSecond
    }
  })
  const header = ["read", "bytes", "connections", "CPU µs", "bare: CPU µs", "ratio", "GETs/s", "bare: GETs/s", "ratio"]
  const row = (id: string, one: Effect.Success<ReturnType<typeof compare>>) => [
    id,
    one.bytes,
    one.connections,
    spread(one.oursMicros),
    spread(one.bareMicros),
    median(one.micros).toFixed(2),
    spread(one.oursPerSecond, 0),
    spread(one.barePerSecond, 0),
    median(one.perSecond).toFixed(2)
  ]

  const shorts = yield* Effect.forEach(Object.entries(short), ([id, path]) =>
    Effect.forEach([1, 32, 256], (connections) =>
      Effect.map(compare(path, connections, (quick ? 2000 : 25_000) + 60 * connections, rounds), (one) => ({ id, one }))
    )
  ).pipe(Effect.map((rows) => rows.flat()))
  const longs = yield* Effect.forEach(Object.entries(long), ([id, path]) =>
    Effect.map(compare(path, 32, quick ? 64 : 3000, longRounds), (one) => ({ id, one }))
  )
  yield* print(
    `The service against a bare node:https server; ${rounds} rounds, of _all_ ${longRounds}; median (min..max)\n`
  )
  yield* table(
    header,
    [...shorts, ...longs].map(({ id, one }) => row(id, one))
  )

  const single = shorts.find(({ one: { connections, path } }) => connections === 32 && path === oneCount)
  const perSecond = Math.round(median(single?.one.oursPerSecond ?? []) / 2)
  const paced = { path: oneCount, connections: 32, perSecond, seconds: quick ? 2 : 6, alone: true }
  const latencies = yield* takeTurns([ours, bare], quick ? 1 : 3, (server) => pacedReads(server, paced))
  yield* print(`Latency of _one count_ at ${perSecond} GETs/s, half of the capacity, in ms\n`)
  yield* table(
    ["server", "p50", "p99", "p99.9", "RSS, MiB"],
    latencies.map(({ contender, results }) => [
      contender.name,
      spread(figures(results, "p50"), 2),
      spread(figures(results, "p99"), 2),
      spread(figures(results, "p999"), 2),
      residentMegabytes(contender.pid).toFixed(0)
    ])
  )
  yield* result("CPU of one count, relative to bare", single?.one.micros ?? [], {
    atMost: 1.3
  })
  for (const { id, one } of longs) {
    yield* result(`GETs/s of ${id}, relative to bare`, one.perSecond, { atLeast: 0.9 })
  }
  yield* plot(
    "reads",
    { title: "CPU of a cached read of one replica count", x: "connections", y: "µs per request" },
    (["oursMicros", "bareMicros"] as const).map((field) => ({
      name: field === "oursMicros" ? ours.name : bare.name,
      points: shorts.flatMap(({ one }) =>
        one.path === oneCount ? [[one.connections, median(one[field])] as const] : []
      )
    }))
  )
})

await Effect.runPromise(Effect.scoped(main))
