import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import type { Identity } from "../../../src/model/ClusterIdentity.ts"
import { keysOf } from "../../../src/shared/redis/Keys.ts"
import * as RedisSession from "../../../src/shared/redis/RedisSession.ts"
import * as Scripts from "../../../src/shared/redis/Scripts.ts"
import * as SharedRedis from "../../../src/shared/redis/SharedRedis.ts"
import { endpointOf, other, own } from "../Clusters.ts"
import { RedisServer } from "../../support/RedisServer.ts"

const keys = keysOf("test")
const maxEntries = 100

const setUp = Effect.gen(function* () {
  const server = yield* RedisServer
  const redis = yield* RedisSession.connect({
    server: { _tag: "Url", url: server.url },
    commandTimeout: Duration.seconds(5),
    silenceLimit: Duration.seconds(15)
  })
  const acquire = (token: string, before = "", cluster: Identity = own) =>
    redis.eval(Scripts.acquire)(keys, {
      token,
      before,
      leaseMillis: 60_000,
      maxEntries,
      entry: "began",
      watched: "[]",
      cluster
    })
  const next = (token: string, epoch: unknown, seq: number) => ({
    token,
    last: `${String(epoch)}-${seq - 1}`,
    id: `${String(epoch)}-${seq}`,
    entry: `entry ${seq}`,
    maxEntries,
    at: Infinity
  })
  /** Everything that a leader can change. */
  const all = Effect.all([
    server.command("XRANGE", keys.events, "-", "+"),
    server.command("HGETALL", keys.scopes),
    server.command("HGETALL", generation)
  ])
  return { redis, server, acquire, next, all }
})

/** Waits until the server's clock, in milliseconds since the epoch, is later. */
const clockBeyond = (millis: number): Effect.Effect<void, never, RedisServer> =>
  Effect.gen(function* () {
    const time = yield* (yield* RedisServer).command("TIME")
    const [seconds, micros] = Array.isArray(time) ? time.map(Number) : []
    if ((seconds ?? 0) * 1000 + Math.floor((micros ?? 0) / 1000) <= millis) yield* clockBeyond(millis)
  })

const generation = keys.generation("deployments", 1, 1)
const listed = {
  scope: "deployments",
  generation,
  before: undefined,
  count: 1,
  keptMillis: 60_000,
  agoMillis: 0,
  meta: [["#epoch", "1"]]
} as const
const change = {
  scope: "deployments",
  generation,
  agoMillis: 0,
  set: new Map([["a/x", "2"]]),
  remove: ["a/y"]
}

describe("the scripts of a leader", () => {
  it.live("change nothing without the lease, after a foreign last entry, and over a lost list", () =>
    Effect.gen(function* () {
      const { acquire, all, next, redis, server } = yield* setUp
      const epoch = yield* acquire("me")
      yield* redis.eval(Scripts.fill)(generation, 60_000, [["a/y", "1"]])
      assert.strictEqual(
        yield* redis.eval(Scripts.commit)(keys, next("me", epoch, 1), { ...listed, count: 2 }),
        "lists"
      )
      assert.strictEqual(yield* redis.eval(Scripts.commit)(keys, next("me", epoch, 1), listed), "done")
      assert.strictEqual(yield* redis.eval(Scripts.append)(keys, next("me", epoch, 2), [change], undefined), "done")
      assert.strictEqual(yield* server.command("HGET", generation, "a/x"), "2")
      assert.strictEqual(yield* server.command("HEXISTS", generation, "a/y"), 0)

      const before = yield* all
      const other = { ...change, set: new Map([["a/x", "3"]]) }
      // The last entry is 2. A leader that expects 1 or 3 does not know what was written or lost.
      for (const seq of [2, 4]) {
        assert.strictEqual(yield* redis.eval(Scripts.append)(keys, next("me", epoch, seq), [other], 60_000), "log")
        assert.strictEqual(yield* redis.eval(Scripts.commit)(keys, next("me", epoch, seq), listed), "log")
      }
      assert.strictEqual(yield* redis.eval(Scripts.append)(keys, next("you", epoch, 3), [other], 60_000), "lease")
      assert.strictEqual(yield* redis.eval(Scripts.commit)(keys, next("you", epoch, 3), listed), "lease")
      assert.strictEqual(yield* redis.eval(Scripts.release)(keys, next("you", epoch, 3)), "lease")
      const retired = { token: "you", scope: "deployments", generation, keptMillis: 1 }
      assert.strictEqual(yield* redis.eval(Scripts.retire)(keys, retired), "lease")
      const elsewhere = { ...other, generation: keys.generation("deployments", 1, 2) }
      assert.strictEqual(
        yield* redis.eval(Scripts.append)(keys, next("me", epoch, 3), [other, elsewhere], 60_000),
        "lists"
      )
      assert.deepStrictEqual(yield* all, before)

      yield* server.command("DEL", generation)
      assert.strictEqual(yield* redis.eval(Scripts.append)(keys, next("me", epoch, 3), [other], 60_000), "lists")
      assert.strictEqual(yield* server.command("EXISTS", generation), 0)
    }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), NodeServices.layer]))
  )

  it.live("commit no list without the name of the cluster, which readers would refuse for ever", () =>
    Effect.gen(function* () {
      const { acquire, all, next, redis, server } = yield* setUp
      const epoch = yield* acquire("me")
      yield* redis.eval(Scripts.fill)(generation, 60_000, [["a/x", "1"]])
      yield* server.command("DEL", keys.scopes)
      const before = yield* all
      assert.strictEqual(yield* redis.eval(Scripts.commit)(keys, next("me", epoch, 1), listed), "lists")
      assert.deepStrictEqual(yield* all, before)
    }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), NodeServices.layer]))
  )

  it.live("begin a later epoch with each leader, even after Redis lost the counter or everything", () =>
    Effect.gen(function* () {
      const { acquire, next, redis, server } = yield* setUp
      const first = yield* acquire("one")
      assert.isNull(yield* acquire("two"))
      // A candidate takes over its own earlier lease at once.
      const second = yield* acquire("one again", "one")
      assert.strictEqual(yield* redis.eval(Scripts.release)(keys, next("one again", second, 1)), "done")
      const third = yield* acquire("two")
      yield* server.command("SET", keys.epoch, "9")
      yield* server.command("DEL", keys.lease)
      const fourth = yield* acquire("three")
      yield* server.command("SET", keys.epoch, "no number")
      yield* server.command("DEL", keys.lease)
      const fifth = yield* acquire("four")
      yield* server.command("FLUSHALL")
      // The clock alone is left, and these leaders began faster than it ticks.
      yield* clockBeyond(Number(fifth))
      const sixth = yield* acquire("five")
      const epochs = [first, second, third, fourth, fifth, sixth].map(Number)
      for (const [at, epoch] of epochs.entries()) assert.isAbove(epoch, epochs[at - 1] ?? 0)
    }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), NodeServices.layer]))
  )

  it.live("change nothing if Redis holds the state of another cluster, with or without a leader", () =>
    Effect.gen(function* () {
      const { acquire, next, redis, server } = yield* setUp
      const everything = Effect.gen(function* () {
        const names = [yield* server.command("KEYS", "*")].flat().map(String).toSorted()
        return yield* Effect.forEach(names, (name) => Effect.map(server.command("DUMP", name), (dump) => [name, dump]))
      })
      const epoch = yield* acquire("one")
      const during = yield* everything
      assert.deepStrictEqual(yield* acquire("two", "", other), [own.uid, own.endpoint])
      assert.deepStrictEqual(yield* everything, during)
      yield* redis.eval(Scripts.release)(keys, next("one", epoch, 1))
      const after = yield* everything
      for (const cluster of [other, { ...other, endpoint: own.endpoint }, { endpoint: other.endpoint }]) {
        assert.deepStrictEqual(yield* acquire("two", "", cluster), [own.uid, own.endpoint])
      }
      assert.deepStrictEqual(yield* everything, after)
      assert.isString(yield* acquire("three"))
    }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), NodeServices.layer]))
  )

  it.live("compare the UIDs of clusters if both are known, otherwise the endpoints", () =>
    Effect.gen(function* () {
      const { acquire, server } = yield* setUp
      const moved = { uid: own.uid, endpoint: endpointOf("a new address") }
      const unknown = { endpoint: moved.endpoint }
      let before = ""
      for (const [at, cluster] of [own, moved, unknown, moved].entries()) {
        assert.isString(yield* acquire(String(at), before, cluster))
        before = String(at)
      }
      yield* acquire("unknown", before, unknown)
      assert.deepStrictEqual(yield* acquire("own", "unknown"), ["", unknown.endpoint])
      assert.deepStrictEqual(yield* server.command("HGET", keys.scopes, "#clusterUid"), null)
    }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), NodeServices.layer]))
  )

  it.live("take over no list of an unnamed cluster", () =>
    Effect.gen(function* () {
      const { acquire, server } = yield* setUp
      yield* server.command("HSET", keys.scopes, "deployments", generation)
      yield* acquire("one")
      assert.strictEqual(yield* server.command("HEXISTS", keys.scopes, "deployments"), 0)
    }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), NodeServices.layer]))
  )

  it.live(
    "bound the memory of the log, also of what earlier leaders left, and trim it when Redis has no more memory",
    () =>
      Effect.gen(function* () {
        const { acquire, next, redis, server } = yield* setUp
        const bytes = Effect.map(server.command("MEMORY", "USAGE", keys.events, "SAMPLES", "0"), Number)
        const large = (epoch: unknown, seq: number) => ({
          ...next("me", epoch, seq),
          entry: "x".repeat(10_000),
          maxEntries: 4096
        })
        const write = Effect.fnUntraced(function* (epoch: unknown) {
          for (let seq = 1; seq <= 1500; seq++) {
            assert.strictEqual(yield* redis.eval(Scripts.append)(keys, large(epoch, seq), [], undefined), "done")
            if (seq % 100 === 0) assert.isBelow(yield* bytes, 9_500_000)
          }
          // A reader that is a little behind need not load a snapshot.
          assert.isAbove(yield* bytes, 4_000_000)
        })
        yield* write(yield* acquire("me"))
        yield* server.command("DEL", keys.lease)
        yield* write(yield* acquire("me"))

        // An earlier release left a log without a bound.
        yield* server.command("DEL", keys.lease)
        for (let seq = 0; seq < 1500; seq++) {
          yield* server.command("XADD", keys.events, "*", "at", "0", "entry", "x".repeat(10_000))
        }
        assert.isAbove(yield* bytes, 15_000_000)
        yield* server.command("CONFIG", "SET", "maxmemory", "12mb")
        const epoch = yield* acquire("me")
        assert.isBelow(yield* bytes, 9_500_000)
        yield* server.command("CONFIG", "SET", "maxmemory", "1")
        const before = yield* bytes
        assert.strictEqual(yield* redis.eval(Scripts.beat)(keys, next("me", epoch, 1), [], 60_000), "done")
        const refused = yield* Effect.flip(redis.eval(Scripts.append)(keys, next("me", epoch, 2), [], undefined))
        assert.isTrue(SharedRedis.isOutOfMemory(refused))
        assert.isAtMost(yield* bytes, before + 1000)
        assert.strictEqual(yield* redis.eval(Scripts.release)(keys, next("me", epoch, 2)), "done")
      }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), NodeServices.layer]))
  )
})
