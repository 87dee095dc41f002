import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Redacted, Stream } from "effect"
import { keysOf } from "../../src/shared/redis/Keys.ts"
import * as SharedCache from "../../src/shared/SharedCache.ts"
import { eventually } from "../support/Eventually.ts"
import { RedisServer } from "../support/RedisServer.ts"
import * as TcpProxy from "../support/TcpProxy.ts"
import { following, options, untilAge } from "./Following.ts"
import { ScriptedCluster } from "./ScriptedCluster.ts"

const keys = keysOf("test")

describe("the age of a shared cache", () => {
  it.live("of a list is the list's own, also for an instance that starts after the next leader began", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = options(redis)
      const first = yield* following(SharedCache.eventsOf(settings, new ScriptedCluster().source), settings)
      yield* first.cache.awaitSynced
      yield* first.close
      for (const scope of ["namespaces", "deployments"]) {
        const generation = String(yield* redis.command("HGET", keys.scopes, scope))
        const heardAt = Number(yield* redis.command("HGET", generation, "#heardAt"))
        yield* redis.command("HSET", generation, "#heardAt", String(heardAt - 12_000))
      }
      // This leader never gets a list.
      yield* following(SharedCache.eventsOf(settings, Stream.never), settings)
      yield* eventually(redis.command("GET", keys.lease), (holder) => holder !== null)
      const { cache } = yield* following(SharedCache.events(settings), settings)
      yield* cache.awaitSynced
      // Sooner than an age that counts from the start of this instance.
      yield* eventually(cache.age, (age) => age >= 12, 8000)
      assert.isBelow(cache.age(), 25)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("is not 0 in a read right after a pause of the process", () =>
    Effect.gen(function* () {
      const settings = options(yield* RedisServer)
      const cluster = new ScriptedCluster()
      const { cache } = yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      yield* untilAge(cache, (age) => age === 0)
      // Nothing else runs meanwhile, as when the machine is suspended.
      const age = yield* Effect.sync(() => {
        cluster.put("a/x")
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2100)
        return cache.age()
      })
      assert.isAtLeast(age, 2)
      yield* untilAge(cache, (age) => age === 0)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("grows three heartbeats after a leader's death, long before its lease expires", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = { ...options(redis), lease: Duration.seconds(30) }
      const proxy = yield* TcpProxy.make(() => redis.port)
      const server = { _tag: "Url", url: Redacted.make(`redis://127.0.0.1:${proxy.port}`) } as const
      const cluster = new ScriptedCluster()
      const leader = yield* following(SharedCache.eventsOf({ ...settings, server }, cluster.source), settings)
      yield* leader.cache.awaitSynced
      const { cache } = yield* following(SharedCache.events(settings), settings)
      yield* untilAge(cache, (age) => age === 0)
      const died = Date.now()
      yield* proxy.lose(() => true, false)
      yield* untilAge(cache, (age) => age >= 2)
      assert.isBelow(Date.now() - died, 6000)
      assert.strictEqual(yield* redis.command("EXISTS", keys.lease), 1)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )
})
