/**
 * Consumers that do not poll: the CPU of a 304 beside that of a 200, the memory of waits and event streams, the CPU of an event
 * that concerns none of them, and the time from a change to all streams of its target.
 */
import { Effect } from "effect"
import { start } from "../test/support/Process.ts"
import { send } from "../test/support/Https.ts"
import { eventually } from "../test/support/Eventually.ts"
import { visibleMillis, watchProbe } from "./Changes.ts"
import { onLoadCore, onServerCore, runOnLoadCore } from "./Command.ts"
import { monotonicMicros } from "./MonotonicClock.ts"
import { cpuMicros, residentMegabytes } from "./ProcessUsage.ts"
import {
  changeDeployments,
  type EncodedCluster,
  type Server,
  serviceSettings,
  startEncodedCluster,
  startServer
} from "./Programs.ts"
import { isQuick, print, result, table, title } from "./Report.ts"
import { figures, quantile, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

const small = "/namespaces/load-00001/deployments/deployment-00050/replica_count"
const connections = 32
const large = "/namespaces/ANY/deployments/ANY/replica_count"

/** A service without limits on the consumers of the benchmark. */
const startUnlimited = (cluster: EncodedCluster) =>
  Effect.tap(
    startServer(
      "kube-resource-api",
      {
        ...serviceSettings(cluster),
        MAX_CONNECTIONS: "19000",
        MAX_CONNECTIONS_PER_ADDRESS: "19000",
        MAX_CONNECTIONS_PER_USER: "19000",
        MAX_WAITERS: "40000",
        MAX_STREAMS: "40000",
        MAX_WAIT: "1h",
        NODE_OPTIONS: "--expose-gc --import=./bench/CollectAtSignal.ts"
      },
      "src/main.ts",
      '"Ready"'
    ),
    ({ pid }) => onServerCore(pid)
  )

const settled = ({ pid }: Server) =>
  Effect.gen(function* () {
    for (let nth = 0; nth < 3; nth++) {
      process.kill(pid, "SIGUSR2")
      yield* Effect.sleep("1 second")
    }
    return residentMegabytes(pid)
  })

/** Opens connections that have sent one request. */
const openIdle = Effect.fnUntraced(function* (service: Server, count: number) {
  const environment = { PORT: String(service.port), COUNT: String(count), READS: "names" }
  const { output } = yield* start(environment, "bench/Holders.ts")
  yield* eventually(output, (text) => text.includes("open\n"), 120_000)
})

interface Holding {
  readonly kind: "wait" | "stream"
  readonly count: number
  /** The names of a namespace's deployments, a count each, or all the same count. */
  readonly reads: "names" | "counts" | "probe"
}

/** Holds reads. `growth`: the resident kB of the service for each, beside its connection. */
const hold = Effect.fnUntraced(function* (service: Server, from: number, { count, kind, reads }: Holding) {
  const holders = yield* start(
    {
      PORT: String(service.port),
      KIND: kind,
      COUNT: String(count),
      READS: reads,
      FROM: String(from)
    },
    "bench/Holders.ts"
  )
  const printed = (line: string) => eventually(holders.output, (text) => text.includes(`${line}\n`), 120_000)
  yield* printed("open")
  const before = yield* settled(service)
  holders.child.stdin?.write("hold\n")
  yield* printed("held")
  const after = yield* settled(service)
  const report = Effect.suspend(() => {
    holders.child.stdin?.write("report\n")
    return eventually(holders.output, (text) => text.endsWith("}\n"))
  })
  return {
    growth: ((after - before) * 1024) / count,
    millis: Effect.map(report, (text): ReadonlyArray<number> => {
      const { millis }: { readonly millis: ReadonlyArray<number> } = JSON.parse(text.split("\n").at(-2) ?? "")
      return millis
    })
  }
})

const costOfUnchanged = Effect.fnUntraced(function* (cluster: EncodedCluster, quick: boolean) {
  const service = yield* startUnlimited(cluster)
  const tagOf = Effect.fnUntraced(function* (path: string) {
    const { headers } = yield* Effect.orDie(send(service.port, { client: "viewer", path }))
    return String(headers["etag"])
  })
  const count = quick ? 2000 : 30_000
  const contenders = [
    { name: "200 of one count", path: small, field: "", status: "200" },
    { name: "304 of one count", path: small, field: `If-None-Match: ${yield* tagOf(small)}`, status: "304" },
    { name: "304 of 20,000 counts", path: large, field: `If-None-Match: ${yield* tagOf(large)}`, status: "304" }
  ]
  const ask = ({ field, path, status }: (typeof contenders)[number], requests: number) =>
    Effect.gen(function* () {
      const before = cpuMicros(service.pid)
      yield* runOnLoadCore("env", [
        `SERVER_PORT=${service.port}`,
        `PATH_=${path}`,
        `FIELD=${field}`,
        `STATUS=${status}`,
        `COUNT=${requests}`,
        `CONNECTIONS=${connections}`,
        process.execPath,
        "bench/ConditionalReads.ts"
      ])
      return cpuMicros(service.pid) - before
    })
  // The handshakes and the first request of each connection are measured alone, and subtracted.
  const read = (contender: (typeof contenders)[number]) =>
    Effect.gen(function* () {
      const opening = yield* ask(contender, connections)
      return { micros: ((yield* ask(contender, connections + count)) - opening) / count }
    })
  yield* Effect.forEach(contenders, read)
  const turns = yield* takeTurns(contenders, quick ? 1 : 9, read)
  yield* table(
    ["response", "CPU µs"],
    turns.map(({ contender, results }) => [contender.name, spread(figures(results, "micros"))])
  )
  const [plain = [], ...unchanged] = turns.map(({ results }) => figures(results, "micros"))
  for (const [index, micros] of unchanged.entries()) {
    yield* result(`CPU of a ${contenders[index + 1]?.name}, relative to a 200`, ratios(micros, plain), { atMost: 1.1 })
  }
}, Effect.scoped)

/**
 * Two services watch the same changes over as many connections. One holds waits and streams on other targets. What the
 * connections cost without any change is measured before each round, and subtracted.
 */
const costOfEvents = Effect.fnUntraced(function* (cluster: EncodedCluster, quick: boolean) {
  const from = monotonicMicros()
  const [held, free] = yield* Effect.all([startUnlimited(cluster), startUnlimited(cluster)])
  const [waiting, streaming] = quick ? [200, 100] : [10_000, 2000]
  const waits = yield* hold(held, from, { kind: "wait", count: waiting, reads: "names" })
  const streams = yield* hold(held, from, { kind: "stream", count: streaming, reads: "names" })
  yield* openIdle(free, waiting + streaming)
  yield* result("resident kB of a wait", [waits.growth], { atMost: 8 }, 1)
  yield* result("resident kB of an event stream", [streams.growth], { atMost: 8 }, 1)
  const seconds = quick ? 1 : 5
  const used = Effect.fnUntraced(function* <A>(during: Effect.Effect<A>) {
    const before = [cpuMicros(held.pid), cpuMicros(free.pid)] as const
    const value = yield* during
    yield* Effect.sleep("500 millis")
    return { value, held: cpuMicros(held.pid) - before[0], free: cpuMicros(free.pid) - before[1] }
  })
  const micros: Array<{ readonly held: number; readonly free: number }> = []
  const idle: Array<{ readonly held: number; readonly free: number }> = []
  for (let round = 0; round < (quick ? 1 : 7); round++) {
    const without = yield* used(Effect.sleep(`${seconds} seconds`))
    const { value, ...all } = yield* used(changeDeployments(cluster, 2000, seconds, from))
    const { count } = value
    idle.push({ held: without.held / 10_000 / seconds, free: without.free / 10_000 / seconds })
    micros.push({ held: (all.held - without.held) / count, free: (all.free - without.free) / count })
  }
  yield* result("CPU without changes, idle connections, % of a core", figures(idle, "free"))
  yield* result("CPU without changes, waits and streams, % of a core", figures(idle, "held"))
  yield* result("CPU of an event, µs, idle connections", figures(micros, "free"), {}, 1)
  yield* result("CPU of an event, µs, waits and streams", figures(micros, "held"), {}, 1)
  yield* result(
    `CPU of an event with ${waiting} waits and ${streaming} streams, relative to as many idle connections`,
    ratios(figures(micros, "held"), figures(micros, "free")),
    { atMost: 1.1 }
  )
}, Effect.scoped)

const freshness = Effect.fnUntraced(function* (cluster: EncodedCluster, quick: boolean, shared: boolean) {
  const from = monotonicMicros()
  const service = yield* startUnlimited(cluster)
  const count = quick ? 100 : 2000
  const streams = yield* hold(service, from, { kind: "stream", count, reads: shared ? "probe" : "counts" })
  const seconds = quick ? 2 : 10
  const [seen, { probed }] = yield* Effect.all(
    [
      shared ? Effect.succeed(undefined) : watchProbe(service, from, seconds + 0.5, 1),
      changeDeployments(cluster, shared ? 4 : 20, seconds, from)
    ],
    { concurrency: 2 }
  )
  yield* Effect.sleep("1 second")
  const millis = yield* streams.millis
  yield* print(`${probed.length} changes, ${millis.length} events`)
  if (seen === undefined) {
    yield* result(`time to ${count} streams of one target, p50, ms`, [quantile(millis, 0.5)], {}, 1)
    yield* result(`time to ${count} streams of one target, p99, ms`, [quantile(millis, 0.99)], { atMost: 50 }, 1)
    return
  }
  const visible = yield* visibleMillis(probed, [seen])
  yield* result("time until a GET sees a change, p50, ms", [quantile(visible, 0.5)], {}, 1)
  yield* result("time until a GET sees a change, p99, ms", [quantile(visible, 0.99)], {}, 1)
  yield* result(`time to 1 of ${count} streams, p50, ms`, [quantile(millis, 0.5)], {}, 1)
  yield* result(
    `time to 1 of ${count} streams, p99, ms`,
    [quantile(millis, 0.99)],
    { atMost: quantile(visible, 0.99) + 5 },
    1
  )
}, Effect.scoped)

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  yield* title("waiting")
  yield* onLoadCore
  const cluster = yield* startEncodedCluster(20_000)
  // A namespace for each deployment: nothing changes the names of its deployments.
  const scattered = yield* startEncodedCluster(20_000, 1)
  yield* costOfUnchanged(cluster, quick)
  yield* costOfEvents(scattered, quick)
  yield* freshness(cluster, quick, true)
  yield* freshness(cluster, quick, false)
})

await Effect.runPromise(Effect.scoped(main))
