/**
 * The shared cache: one watcher that leads, one that stands by, three servers and a real Redis, each a process of its own.
 * Measures the memory of Redis, the time from a change in the cluster until all servers show it, the start of a server, the
 * stalls of Redis and of a server while the next leader writes the whole list, and the CPU of a read in both cache modes.
 */
import { Effect, Fiber } from "effect"
import { setTimeout as delay } from "node:timers/promises"
import { eventually } from "../test/support/Eventually.ts"
import { visibleMillis, watchProbe } from "./Changes.ts"
import { makeLoad } from "./Load.ts"
import { monotonicMicros } from "./MonotonicClock.ts"
import {
  changeDeployments,
  type EncodedCluster,
  type Server,
  startEncodedCluster,
  startService,
  startSharing
} from "./Programs.ts"
import { isQuick, print, result, table, title } from "./Report.ts"
import { type Redis, startRedis } from "./SharedRedis.ts"
import { figures, median, quantile, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

const megabytes = (bytes: number) => bytes / 1_000_000

/** A cluster and the instances that share its state. */
interface Shared {
  readonly cluster: EncodedCluster
  readonly redis: Redis
  readonly servers: ReadonlyArray<Server>
}

/** Changes the cluster while each server is read; the milliseconds until all of them show a change. */
const freshness = Effect.fnUntraced(function* ({ cluster, servers }: Shared, perSecond: number, seconds: number) {
  const from = monotonicMicros()
  const observers = yield* Effect.forkChild(
    Effect.forEach(servers, (server) => watchProbe(server, from, seconds + 1, 1), { concurrency: "unbounded" })
  )
  // The first reads are before the first change.
  yield* Effect.promise(() => delay(200))
  const { probed } = yield* changeDeployments(cluster, perSecond, seconds - 0.5, from)
  const millis = yield* visibleMillis(probed, yield* Fiber.join(observers))
  return { p50: quantile(millis, 0.5), p99: quantile(millis, 0.99) }
})

/** Starts one more server; the milliseconds until it is ready. */
const startup = ({ cluster, redis }: Shared) =>
  Effect.scoped(
    Effect.gen(function* () {
      const began = performance.now()
      yield* startSharing(cluster, redis.url, "server")
      return performance.now() - began
    })
  )

/** Replaces the leader, and so the whole list, while a server is read. */
const failover = Effect.fnUntraced(function* ({ cluster, redis, servers }: Shared, leader: Server, seconds: number) {
  const [server] = servers
  if (server === undefined) return yield* Effect.die(new Error("there is no server"))
  const next = yield* startSharing(cluster, redis.url, "watcher")
  const before = yield* redis.list
  yield* redis.forgetStalls
  const from = monotonicMicros()
  const reading = yield* Effect.forkChild(watchProbe(server, from, seconds, 1))
  yield* Effect.promise(() => delay(200))
  const began = performance.now()
  yield* Effect.sync(() => process.kill(leader.pid, "SIGTERM"))
  yield* eventually(redis.list, (list) => list !== before, 120_000)
  const listed = performance.now() - began
  const twoLists = yield* redis.usedBytes
  const { millis } = yield* Fiber.join(reading)
  return { leader: next, listed, twoLists, redisStall: yield* redis.longestStall, readStall: Math.max(...millis) }
})

/** Makes changes until the log has been trimmed for its bytes. */
const fillLog = Effect.fnUntraced(function* ({ cluster, redis }: Shared, quick: boolean) {
  for (let turn = 0; turn < (quick ? 1 : 20) && (yield* redis.logBytes) < 6_500_000; turn++) {
    yield* changeDeployments(cluster, 20_000, 3, monotonicMicros())
    yield* Effect.promise(() => delay(1000))
  }
  return { bytes: yield* redis.logBytes, entries: yield* redis.logEntries, used: yield* redis.usedBytes }
})

/** Everything but the cost of a read, for a cluster of this size. */
const measure = Effect.fnUntraced(function* (size: number, quick: boolean) {
  const round = Array.from({ length: quick ? 1 : 3 })
  const redis = yield* startRedis
  const empty = yield* redis.usedBytes
  const cluster = yield* startEncodedCluster(size)
  let leader = yield* startSharing(cluster, redis.url, "watcher")
  const servers = yield* Effect.forEach([1, 2, 3], () => startSharing(cluster, redis.url, "server"))
  const shared: Shared = { cluster, redis, servers }
  const oneList = yield* redis.usedBytes
  const listBytes = yield* redis.listBytes
  yield* freshness(shared, 100, 2)
  const fresh = yield* Effect.forEach(round, () => freshness(shared, 100, quick ? 2 : 10))
  const startups = yield* Effect.forEach(round, () => startup(shared))
  const failovers = yield* Effect.forEach(round, () =>
    Effect.gen(function* () {
      const done = yield* failover(shared, leader, quick ? 5 : 20)
      leader = done.leader
      yield* redis.forgetStalls
      // The replaced list expires after a minute.
      if (!quick) yield* Effect.promise(() => delay(65_000))
      return { ...done, expiryStall: yield* redis.longestStall }
    })
  )
  const log = yield* fillLog(shared, quick)
  const peak = yield* redis.peakBytes
  return { size, empty, oneList, listBytes, failovers, fresh, startups, log, peak }
}, Effect.scoped)

/** The CPU of reading one count from an instance in each cache mode. */
const costOfRead = Effect.fnUntraced(function* (size: number, quick: boolean) {
  const load = yield* makeLoad
  const redis = yield* startRedis
  const cluster = yield* startEncodedCluster(size)
  yield* startSharing(cluster, redis.url, "watcher")
  // Two processes of one mode differ by up to 6 %, so there are two of each.
  const contenders = [
    { mode: "memory", server: yield* startService(cluster) },
    { mode: "redis", server: yield* startSharing(cluster, redis.url, "server") },
    { mode: "memory", server: yield* startService(cluster) },
    { mode: "redis", server: yield* startSharing(cluster, redis.url, "server") }
  ]
  const read = ({ server }: (typeof contenders)[number]) =>
    load(server, {
      path: "/namespaces/load-00001/deployments/deployment-00050/replica_count",
      connections: 32,
      count: quick ? 2000 : 60_000
    })
  yield* Effect.forEach(contenders, read)
  return yield* takeTurns(contenders, quick ? 1 : 9, read)
}, Effect.scoped)

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  const sizes = quick ? [1000, 2000] : [20_000, 100_000]
  yield* title("shared")
  const measured = yield* Effect.forEach(sizes, (size) => measure(size, quick))
  yield* print(
    "Memory of Redis in MB; two lists for a minute after a new one, and the peak with the buffers of clients\n"
  )
  yield* table(
    ["deployments", "empty", "one list", "bytes each", "two lists", "log full", "of it log", "its entries", "peak"],
    measured.map(({ empty, failovers, listBytes, log, oneList, peak, size }) => [
      size,
      megabytes(empty).toFixed(1),
      megabytes(oneList).toFixed(1),
      (listBytes / size).toFixed(0),
      megabytes(median(figures(failovers, "twoLists"))).toFixed(1),
      megabytes(log.used).toFixed(1),
      megabytes(log.bytes).toFixed(1),
      log.entries,
      megabytes(peak).toFixed(1)
    ])
  )
  yield* print(
    "From a change until all of 3 servers show it, at 100 changes/s; and the start of one more server, in ms\n"
  )
  yield* table(
    ["deployments", "visible p50", "p99", "new server ready"],
    measured.map(({ fresh, size, startups }) => [
      size,
      spread(figures(fresh, "p50")),
      spread(figures(fresh, "p99")),
      spread(startups, 0)
    ])
  )
  yield* print(
    "From the shutdown of the leader to the next one's list, and the longest stalls meanwhile, in ms; the replaced list " +
      "expires a minute later\n"
  )
  yield* table(
    ["deployments", "listed", "stall of Redis", "longest read of a server", "stall of Redis at the expiry"],
    measured.map(({ failovers, size }) => [
      size,
      spread(figures(failovers, "listed"), 0),
      spread(figures(failovers, "redisStall")),
      spread(figures(failovers, "readStall")),
      spread(figures(failovers, "expiryStall"))
    ])
  )
  const cost = yield* costOfRead(sizes[0] ?? 0, quick)
  yield* print(`CPU of one count of ${sizes[0]}, 32 connections\n`)
  yield* table(
    ["cache", "CPU µs"],
    cost.map(({ contender, results }) => [contender.mode, spread(figures(results, "micros"))])
  )
  const microsOf = (mode: string) =>
    cost.flatMap(({ contender, results }) => (contender.mode === mode ? figures(results, "micros") : []))
  yield* result(
    "CPU of one count with CACHE=redis, relative to memory",
    ratios(microsOf("redis"), microsOf("memory")),
    { atMost: 1.05 }
  )
})

await Effect.runPromise(Effect.scoped(main))
