import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Logger, Queue, Stream } from "effect"
import * as ViewReads from "../../src/cache/ViewReads.ts"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import { keysOf } from "../../src/shared/redis/Keys.ts"
import * as SharedCache from "../../src/shared/SharedCache.ts"
import * as Given from "../cache/Given.ts"
import { countOf, following, options, untilAge, untilCount } from "./Following.ts"
import { eventually } from "../support/Eventually.ts"
import { RedisServer } from "../support/RedisServer.ts"
import { ScriptedCluster } from "./ScriptedCluster.ts"

describe("a shared cache", () => {
  it.live("keeps this instance's own write against older lists and events, and yields to later ones", () =>
    Effect.gen(function* () {
      const settings = options(yield* RedisServer)
      const cluster = new ScriptedCluster()
      yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      const { cache, taken } = yield* following(SharedCache.events(settings), settings)
      cluster.put("a/x")
      yield* untilCount(cache, "a/x")
      yield* cache.written(Given.deployment("a/x", 99, 1000))
      const lists = () => taken.filter(({ _tag }) => _tag === "DeploymentsReplaced").length
      const before = lists()
      cluster.relist()
      yield* eventually(lists, (count) => count > before)
      assert.strictEqual(countOf(cache.current(), "a/x"), 99)
      cluster.put("a/x")
      cluster.put("a/y")
      yield* untilCount(cache, "a/y")
      assert.strictEqual(countOf(cache.current(), "a/x"), 99)
      cluster.tell(Given.applied("a/x", 5, 1001))
      yield* untilCount(cache, "a/x", 5)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("shows the unknown namespace of a write until two rounds of the leader's poll have missed it", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      // A leader that is held up must not lose the lease, for the next one would list again.
      const settings = { ...options(redis, ["keep", "later"]), lease: Duration.seconds(30) }
      const queue = yield* Queue.unbounded<ClusterEvent>()
      const heard: ClusterEvent = { _tag: "Heard", resource: "namespaces" }
      yield* Queue.offerAll(queue, [
        Given.namespaces(0, "keep"),
        heard,
        Given.deploymentsOf("keep", 5, ["keep/always", 3, 4]),
        Given.deploymentsOf("later", 5)
      ])
      yield* following(SharedCache.eventsOf(settings, Stream.fromQueue(queue)), settings)
      const { cache } = yield* following(SharedCache.events(settings), settings)
      yield* cache.awaitSynced
      let count = 3
      /** Ends a round, and waits until the cache has applied it. */
      const round = Effect.gen(function* () {
        yield* Queue.offerAll(queue, [heard, Given.applied("keep/always", ++count, count + 100)])
        yield* untilCount(cache, "keep/always", count)
      })
      yield* round
      const generation = yield* redis.command("HGET", keysOf("test").scopes, "namespaces")
      const isShown = () => ViewReads.hasNamespace(cache.current(), Given.ns("later"))
      yield* cache.written(Given.deployment("later/web", 7, 1000))
      yield* round
      assert.isTrue(isShown())
      assert.strictEqual(countOf(cache.current(), "later/web"), 7)
      yield* round
      assert.isFalse(isShown())
      // The rounds changed nothing, so the list was not written again.
      assert.strictEqual(yield* redis.command("HGET", keysOf("test").scopes, "namespaces"), generation)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("gets another leader if the leader cannot watch the cluster", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = { ...options(redis), patience: Duration.millis(100) }
      const cluster = new ScriptedCluster()
      let blindRuns = 0
      const blind = Stream.unwrap(
        Effect.sync(() => {
          blindRuns++
          return Stream.concat(Stream.succeed<ClusterEvent>({ _tag: "Lost", resource: "namespaces" }), Stream.never)
        })
      )
      const one = yield* following(SharedCache.eventsOf(settings, blind), settings)
      yield* eventually(
        () => blindRuns,
        (runs) => runs > 0
      )
      const other = yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      yield* Effect.all([one.cache.awaitSynced, other.cache.awaitSynced])
      // A leader that sees all of the cluster stays beyond its patience.
      const last = Effect.map(redis.command("XREVRANGE", keysOf("test").events, "+", "-", "COUNT", "1"), (entries) => {
        const [, epoch = "", seq = ""] = /^([0-9]+)-([0-9]+)/.exec(String(entries)) ?? []
        return { epoch, seq: Number(seq) }
      })
      const before = yield* last
      const later = yield* eventually(last, ({ epoch, seq }) => epoch !== before.epoch || seq > before.seq + 2)
      assert.strictEqual(later.epoch, before.epoch)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("is not filled by a leader that watches other namespaces, and logs an error", () => {
    const logged: Array<string> = []
    const logger = Logger.layer([
      Logger.make(({ logLevel, message }) => void logged.push(`${logLevel} ${String(message)}`))
    ])
    return Effect.gen(function* () {
      const redis = yield* RedisServer
      const cluster = new ScriptedCluster()
      const wide = yield* following(SharedCache.eventsOf(options(redis), cluster.source), options(redis))
      yield* wide.cache.awaitSynced
      const narrow = options(redis, ["keep"])
      const { cache } = yield* following(SharedCache.events(narrow), narrow)
      yield* eventually(
        () => logged,
        (lines) => lines.some((line) => line.includes("KUBE_NAMESPACES"))
      )
      assert.isTrue(logged.some((line) => line.startsWith("Error") && line.includes("KUBE_NAMESPACES")))
      assert.isFalse(cache.isSynced())
      // A leader with the same namespaces takes over.
      yield* wide.close
      const source = Stream.concat(
        Stream.fromIterable<ClusterEvent>([
          Given.namespaces(0, "keep"),
          { _tag: "Heard", resource: "namespaces" },
          Given.deploymentsOf("keep", 5, ["keep/always", 3, 4]),
          { _tag: "Heard", resource: "deployments", namespace: Given.ns("keep") }
        ]),
        Stream.never
      )
      yield* following(SharedCache.eventsOf(narrow, source), narrow)
      yield* cache.awaitSynced
      yield* untilAge(cache, (age) => age === 0)
      assert.strictEqual(countOf(cache.current(), "keep/always"), 3)
      assert.isTrue(logged.some((line) => line.startsWith("Info") && line.includes("again")))
    }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), logger]))
  })

  it.live("stays and ages while a snapshot cannot be loaded, and recovers", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      // A leader that is held up must not lose the lease, for the next one would replace the snapshot.
      const settings = { ...options(redis), lease: Duration.seconds(30) }
      const cluster = new ScriptedCluster()
      yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      cluster.put("a/x")
      const { cache } = yield* following(SharedCache.events(settings), settings)
      yield* untilCount(cache, "a/x")
      const generation = String(yield* redis.command("HGET", keysOf("test").scopes, "deployments"))
      yield* redis.command("HSET", generation, "a/x", '{"replicas":"many"}')
      // An instance that starts now has nothing to show. The others keep what they show.
      const late = yield* following(SharedCache.events(settings), settings)
      yield* eventually(
        () => late.taken,
        (events) => events.some(({ _tag }) => _tag === "NamespacesReplaced")
      )
      assert.isFalse(late.cache.isSynced())
      assert.isDefined(countOf(cache.current(), "a/x"))
      cluster.relist()
      yield* late.cache.awaitSynced
      yield* untilAge(late.cache, (age) => age === 0)
      assert.strictEqual(countOf(late.cache.current(), "a/x"), cluster.deployments.get("a/x")?.replicas)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("ends with the defect of its source", () =>
    Effect.gen(function* () {
      const settings = options(yield* RedisServer)
      const { cache } = yield* following(SharedCache.eventsOf(settings, Stream.die(new Error("boom"))), settings)
      const exit = yield* Effect.exit(cache.failed)
      assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes("boom"))
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )
})
