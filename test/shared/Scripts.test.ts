import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { keysOf } from "../../src/shared/Keys.ts"
import * as Scripts from "../../src/shared/Scripts.ts"
import * as SharedRedis from "../../src/shared/SharedRedis.ts"
import { RedisServer } from "../support/RedisServer.ts"

const keys = keysOf("test")
const maxEntries = 100

const setUp = Effect.gen(function* () {
  const server = yield* RedisServer
  const redis = yield* SharedRedis.connect({
    url: server.url,
    commandTimeout: Duration.seconds(5),
    silenceLimit: Duration.seconds(15)
  })
  const acquire = (token: string, before = "") =>
    redis.eval(Scripts.acquire)(keys, {
      token,
      before,
      leaseMillis: 60_000,
      maxEntries,
      entry: "began",
      watched: "[]"
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
})
