import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Logger, Queue, Redacted, Stream } from "effect"
import type { ClusterEvent } from "../../../src/model/ClusterEvent.ts"
import { keysOf } from "../../../src/shared/redis/Keys.ts"
import * as SharedCache from "../../../src/shared/SharedCache.ts"
import type { SharedCacheOptions } from "../../../src/shared/SharedCacheOptions.ts"
import * as Given from "../../cache/Given.ts"
import { countOf, following, options, untilAge, untilCount } from "../Following.ts"
import { eventually } from "../../support/Eventually.ts"
import { RedisServer } from "../../support/RedisServer.ts"
import { ScriptedCluster } from "../ScriptedCluster.ts"

const keys = keysOf("test")

/** Lists each of these namespaces, with one deployment, and then repeats `Heard`. */
const feed = (names: ReadonlyArray<string>, replicas: number): Stream.Stream<ClusterEvent> => {
  const heard: ReadonlyArray<ClusterEvent> = [
    { _tag: "Heard", resource: "namespaces" },
    ...names.map((name): ClusterEvent => ({ _tag: "Heard", resource: "deployments", namespace: Given.ns(name) }))
  ]
  const lists: ReadonlyArray<ClusterEvent> = [
    Given.namespaces(0, ...names),
    ...names.map((name) => Given.deploymentsOf(name, replicas, [`${name}/d`, replicas, replicas]))
  ]
  return Stream.concat(
    Stream.fromIterable([...lists, ...heard]),
    Stream.fromIterable(heard).pipe(Stream.concat(Stream.fromEffectDrain(Effect.sleep(100))), Stream.forever)
  )
}

/** Options with a leader that keeps its lease however busy the machine is. */
const calm = (redis: RedisServer["Service"]) => ({ ...options(redis), lease: Duration.seconds(30) })

/** A reader with a Redis user of its own, and ways to lock the user out and in. */
const lockable = Effect.fnUntraced(function* (redis: RedisServer["Service"], settings: SharedCacheOptions) {
  yield* redis.command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all")
  const url = Redacted.make(Redacted.value(redis.url).replace("redis://", "redis://reader:secret@"))
  const reader = yield* following(SharedCache.events({ ...settings, server: { _tag: "Url", url } }), settings)
  const lockOut = Effect.andThen(
    redis.command("ACL", "SETUSER", "reader", "off"),
    redis.command("CLIENT", "KILL", "USER", "reader")
  )
  return { ...reader, lockOut, letIn: redis.command("ACL", "SETUSER", "reader", "on") }
})

describe("a reader of the shared log", () => {
  it.live("gets ready with its own namespaces after a leader that watched others", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      for (let start = 0; start < 6; start++) {
        const names = start % 2 === 0 ? ["a"] : ["a", "b"]
        const settings = options(redis, names)
        const instance = yield* following(SharedCache.eventsOf(settings, feed(names, 5 + start)), settings)
        yield* instance.cache.awaitSynced
        yield* untilCount(instance.cache, "a/d", 5 + start)
        yield* instance.close
      }
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("reports the age of the shown list, not of the list that it cannot show", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const narrow = options(redis, ["a"])
      const wide = options(redis, ["a", "b"])
      const first = yield* following(SharedCache.eventsOf(narrow, feed(["a"], 1)), narrow)
      const { cache } = yield* following(SharedCache.events(narrow), narrow)
      yield* untilAge(cache, (age) => age === 0)
      yield* first.close
      const second = yield* following(SharedCache.eventsOf(wide, feed(["a", "b"], 7)), wide)
      yield* second.cache.awaitSynced
      // The leader hears the cluster all the time.
      yield* untilAge(cache, (age) => age >= 3)
      assert.strictEqual(countOf(cache.current(), "a/d"), 1)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("ages while it cannot load a snapshot, although the log goes on", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = calm(redis)
      const cluster = new ScriptedCluster()
      const leader = yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      cluster.put("a/x")
      const { cache, letIn, lockOut, taken } = yield* lockable(redis, settings)
      yield* untilCount(cache, "a/x")
      yield* untilAge(cache, (age) => age === 0)
      const generation = String(yield* redis.command("HGET", keys.scopes, "deployments"))
      yield* redis.command("HSET", generation, "a/bad", '{"replicas":"many"}')
      yield* lockOut
      yield* eventually(
        () => taken.at(-1)?._tag,
        (tag) => tag === "Lost"
      )
      cluster.put("a/x")
      const missed = cluster.deployments.get("a/x")?.replicas
      yield* untilCount(leader.cache, "a/x", missed)
      yield* redis.command("XTRIM", keys.events, "MAXLEN", "0")
      yield* letIn
      yield* Effect.forkScoped(
        Effect.forever(
          Effect.andThen(
            Effect.sync(() => cluster.put("a/x")),
            Effect.sleep(100)
          )
        )
      )
      yield* untilAge(cache, (age) => age >= 3)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live(
    "does not count rounds of the leader's poll that it reads while catching up: they may have begun before a write",
    () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const settings = { ...calm(redis), namespaces: [Given.ns("keep"), Given.ns("later")] }
        const queue = yield* Queue.unbounded<ClusterEvent>()
        let count = 3
        const rounds = (number: number) =>
          Queue.offerAll(queue, [
            ...Array.from({ length: number }, (): ClusterEvent => ({ _tag: "Heard", resource: "namespaces" })),
            Given.applied("keep/always", ++count, count + 100)
          ])
        yield* Queue.offerAll(queue, [
          Given.namespaces(0, "keep"),
          Given.deploymentsOf("keep", 5, ["keep/always", 3, 4]),
          Given.deploymentsOf("later", 5)
        ])
        const leader = yield* following(SharedCache.eventsOf(settings, Stream.fromQueue(queue)), settings)
        const { cache, letIn, lockOut, taken } = yield* lockable(redis, settings)
        yield* untilCount(cache, "keep/always", 3)
        yield* lockOut
        yield* eventually(
          () => taken.at(-1)?._tag,
          (tag) => tag === "Lost"
        )
        yield* rounds(3)
        yield* untilCount(leader.cache, "keep/always", count)
        yield* cache.written(Given.deployment("later/web", 7, 1000))
        yield* letIn
        yield* untilCount(cache, "keep/always", count)
        assert.strictEqual(countOf(cache.current(), "later/web"), 7)
        const round = Effect.gen(function* () {
          yield* rounds(1)
          yield* untilCount(cache, "keep/always", count)
          return countOf(cache.current(), "later/web")
        })
        assert.strictEqual(yield* round, 7)
        // A reader that misses heartbeats, as on a busy machine, catches up again.
        yield* eventually(round, (left) => left === undefined)
      }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("counts a dead leader's silence from its last entry, not from the reader's start", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = { ...options(redis), lease: Duration.seconds(5) }
      const cluster = new ScriptedCluster()
      const leader = yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      yield* leader.cache.awaitSynced
      yield* leader.close
      // A killed leader leaves a lease that has not expired.
      const died = Date.now()
      yield* redis.command("SET", keys.lease, "dead", "PX", "5000")
      // Redis measures the lease and the age of entries by its own clock, so the test waits in real time.
      yield* Effect.sleep(4000)
      const { cache } = yield* following(SharedCache.events(settings), settings)
      yield* untilAge(cache, (age) => age > 0)
      // Less than a lease after the reader's start.
      assert.isBelow(Date.now() - died, 8500)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("reports `Heard` once it has caught up, not before", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = calm(redis)
      const cluster = new ScriptedCluster()
      const leader = yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      cluster.put("a/x")
      const { cache, letIn, lockOut, taken } = yield* lockable(redis, settings)
      yield* untilCount(cache, "a/x")
      yield* untilAge(cache, (age) => age === 0)
      yield* lockOut
      yield* eventually(
        () => taken.at(-1)?._tag,
        (tag) => tag === "Lost"
      )
      const before = taken.length
      for (let change = 0; change < 500; change++) cluster.put("a/x")
      const missed = cluster.deployments.get("a/x")?.replicas
      yield* untilCount(leader.cache, "a/x", missed)
      yield* letIn
      const after = () => taken.slice(before)
      const caughtUp = () =>
        after().findIndex((event) => event._tag === "DeploymentApplied" && event.object.replicas === missed)
      yield* eventually(after, (events) => caughtUp() !== -1 && events.some(({ _tag }) => _tag === "Heard"))
      assert.isAbove(
        after().findIndex(({ _tag }) => _tag === "Heard"),
        caughtUp()
      )
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("does not decode an entry longer than any leader writes", () => {
    const logged: Array<string> = []
    const logger = Logger.layer([Logger.make(({ message }) => void logged.push(String(message)))])
    return Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = options(redis)
      const cluster = new ScriptedCluster()
      const leader = yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      yield* leader.cache.awaitSynced
      yield* leader.close
      const { cache } = yield* following(SharedCache.events(settings), settings)
      yield* cache.awaitSynced
      const before = logged.length
      const add = (spaces: number, seq: number) =>
        redis.command(
          "XADD",
          keys.events,
          `999999999999999-${seq}`,
          "at",
          "1",
          "entry",
          `{"_tag":"Ended"}${" ".repeat(spaces)}`
        )
      const unreadable = () => logged.slice(before).filter((line) => line.includes("Cannot decode an entry")).length
      yield* add(1000, 0)
      yield* add(1_000_000, 1)
      yield* eventually(unreadable, (count) => count > 0)
      assert.strictEqual(unreadable(), 1)
      assert.isTrue(cache.isSynced())
    }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), logger]))
  })

  it.live("without permission to read logs one warning and retries less and less often", () => {
    const logged: Array<string> = []
    const logger = Logger.layer([
      Logger.make(({ logLevel, message }) => void logged.push(`${logLevel} ${String(message)}`))
    ])
    return Effect.gen(function* () {
      const redis = yield* RedisServer
      yield* redis.command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", "-xread")
      const url = Redacted.make(Redacted.value(redis.url).replace("redis://", "redis://reader:secret@"))
      const server = { _tag: "Url" as const, url }
      const settings = { ...options(redis), lease: Duration.seconds(30), server, backoffLongest: Duration.minutes(1) }
      yield* following(SharedCache.events(settings), settings)
      const refusals = Effect.map(redis.command("ACL", "LOG", "1"), (log) =>
        Number(/count,([0-9]+)/.exec(String(log))?.[1] ?? 0)
      )
      yield* eventually(refusals, (count) => count >= 5)
      assert.deepStrictEqual(
        logged.filter((line) => !line.startsWith("Debug")).map((line) => line.slice(0, 16)),
        ["Warn Cannot read"]
      )
    }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), logger]))
  })
})
