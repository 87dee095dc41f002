import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Duration, Effect, Queue, Schema, Stream } from "effect"
import * as View from "../../src/cache/ClusterView.ts"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import { keysOf } from "../../src/shared/redis/Keys.ts"
import * as SharedCache from "../../src/shared/SharedCache.ts"
import type { SharedCacheOptions } from "../../src/shared/SharedCacheOptions.ts"
import * as Given from "../cache/Given.ts"
import { eventually } from "../support/Eventually.ts"
import { RedisServer } from "../support/RedisServer.ts"
import { countOf, following, options, untilCount } from "./Following.ts"
import { shown } from "./Shown.ts"

/** Options with a leader that keeps its lease however busy the machine is. */
const calm = (redis: RedisServer["Service"], keyPrefix = "test"): SharedCacheOptions => ({
  ...options(redis),
  keyPrefix,
  lease: Duration.seconds(30)
})

/** A leader of these events, and a reader. */
const leading = Effect.fnUntraced(function* (
  settings: SharedCacheOptions,
  first: ReadonlyArray<ClusterEvent> = [Given.namespaces(1, "a"), Given.deployments(1, ["a/x", 3, 1], ["a/y", 4, 1])]
) {
  const queue = yield* Queue.unbounded<ClusterEvent>()
  const tell = (...events: ReadonlyArray<ClusterEvent>) => Queue.offerAll(queue, events)
  yield* tell(...first)
  const leader = yield* following(SharedCache.eventsOf(settings, Stream.fromQueue(queue)), settings)
  const reader = yield* following(SharedCache.events(settings), settings)
  yield* reader.cache.awaitSynced
  return { tell, leader, reader: reader.cache }
})

/** A field of the hash of deployments in use. */
const fieldOf = Effect.fnUntraced(function* (field: string) {
  const redis = yield* RedisServer
  return yield* redis.command("HGET", String(yield* redis.command("HGET", keysOf("test").scopes, "deployments")), field)
})

describe("a list with objects that cannot be decoded, in a shared cache", () => {
  it.live("keeps their last known state, for several lists in a row, and for instances that start later", () =>
    Effect.gen(function* () {
      const settings = calm(yield* RedisServer)
      const { reader, tell } = yield* leading(settings)
      for (const version of [10, 20, 30]) {
        yield* tell(Given.withUndecodable(Given.deployments(version, ["a/y", version, version]), "a/x", "a/unknown"))
        yield* untilCount(reader, "a/y", version)
        assert.strictEqual(countOf(reader.current(), "a/x"), 3)
      }
      assert.isUndefined(countOf(reader.current(), "a/unknown"))
      const late = yield* following(SharedCache.events(settings), settings)
      yield* late.cache.awaitSynced
      assert.strictEqual(countOf(late.cache.current(), "a/x"), 3)
      // The namespace, too.
      yield* tell(Given.withUndecodable(Given.namespaces(40, "b"), "a", "unknown"))
      yield* eventually(
        () => shown(reader.current()).namespaces,
        (names) => names.includes("b")
      )
      assert.deepStrictEqual(shown(reader.current()).namespaces, ["a", "b"])
      yield* tell(Given.deleted("a/x", 50))
      yield* untilCount(reader, "a/y")
      yield* eventually(
        () => countOf(reader.current(), "a/x"),
        (count) => count === undefined
      )
      assert.isNull(yield* fieldOf("a/x"))
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("keeps what an earlier leader stored, and skips objects that are absent from Redis or corrupt there", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = calm(redis)
      const first = yield* leading(settings)
      const generation = String(yield* redis.command("HGET", keysOf("test").scopes, "deployments"))
      yield* redis.command("HSET", generation, "a/bad", '{"replicas":"many"}')
      yield* first.leader.close
      yield* leading(settings, [
        Given.namespaces(10, "a"),
        Given.withUndecodable(Given.deployments(10, ["a/z", 5, 9]), "a/x", "a/bad", "a/unknown", "#epoch")
      ])
      yield* untilCount(first.reader, "a/z", 5)
      assert.deepStrictEqual(shown(first.reader.current()).counts, [
        ["a/x", 3],
        ["a/z", 5]
      ])
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("lets them change again after the cluster was restored from a backup", () =>
    Effect.gen(function* () {
      const { reader, tell } = yield* leading(calm(yield* RedisServer))
      yield* tell(Given.applied("a/x", 6, 1000))
      yield* untilCount(reader, "a/x", 6)
      yield* tell(Given.withUndecodable(Given.deployments(500, ["a/y", 8, 499]), "a/x"))
      yield* untilCount(reader, "a/y", 8)
      assert.strictEqual(countOf(reader.current(), "a/x"), 6)
      yield* tell(Given.applied("a/x", 7, 501))
      yield* untilCount(reader, "a/x", 7)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  const Paths = Schema.Literals(["a/x", "a/y", "b/x"])
  const Names = Schema.Literals(["a", "b"])
  const Step = Schema.Union([
    Schema.TaggedStruct("list", { items: Schema.Array(Paths), undecodable: Schema.Array(Paths) }),
    Schema.TaggedStruct("list", { items: Schema.Array(Paths), undecodable: Schema.Array(Paths) }),
    Schema.TaggedStruct("namespaces", { names: Schema.Array(Names), undecodable: Schema.Array(Names) }),
    Schema.TaggedStruct("applied", { path: Paths }),
    Schema.TaggedStruct("deleted", { path: Paths }),
    Schema.TaggedStruct("restored", { undecodable: Schema.Array(Paths) })
  ])

  /** The events of these steps, each with a different version. */
  const eventsOf = (steps: ReadonlyArray<typeof Step.Type>): ReadonlyArray<ClusterEvent> => {
    let version = 1000
    let count = 0
    return steps.flatMap((step): ReadonlyArray<ClusterEvent> => {
      version += 10
      count++
      switch (step._tag) {
        case "list": {
          const items = [...new Set(step.items)].map((path) => [path, count, version - 1] as const)
          return [Given.withUndecodable(Given.deployments(version, ...items), ...step.undecodable)]
        }
        case "namespaces":
          return [Given.withUndecodable(Given.namespaces(version, "keep", ...new Set(step.names)), ...step.undecodable)]
        case "applied":
          return [Given.applied(step.path, count, version)]
        case "deleted":
          return [Given.deleted(step.path, version)]
        case "restored":
          version -= 500
          return [
            Given.withUndecodable(Given.namespaces(version, "keep"), "a"),
            Given.withUndecodable(Given.deployments(version, ["keep/z", 1, 1]), ...step.undecodable)
          ]
      }
    })
  }

  it.live("is shown as by an instance without a shared cache", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const sequences = yield* Arbitrary.sampleEffect(
        Arbitrary.array(Arbitrary.schema(Step), { minLength: 4, maxLength: 12 }),
        { count: 25 }
      )
      let run = 0
      for (const steps of sequences) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const first = [Given.namespaces(1, "keep", "a", "b"), Given.deployments(1, ["keep/z", 1, 1])]
            const events = [...first, ...eventsOf(steps), Given.applied("keep/end", 1, 1_000_000)]
            const { reader } = yield* leading(calm(redis, `run-${++run}`), events)
            const own = events.reduce(View.apply, View.empty)
            // The last event has been applied by then.
            yield* eventually(
              () => shown(reader.current()),
              (now) => assert.deepStrictEqual(now, shown(own), JSON.stringify(steps))
            )
          })
        )
      }
    }).pipe(Effect.provide(RedisServer.layer()))
  )
})
