import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Logger, Redacted } from "effect"
import { keysOf } from "../../src/shared/redis/Keys.ts"
import * as SharedCache from "../../src/shared/SharedCache.ts"
import type { SharedCacheOptions } from "../../src/shared/SharedCacheOptions.ts"
import { countOf, following, options, untilAge, untilCount } from "./Following.ts"
import { eventually } from "../support/Eventually.ts"
import { RedisServer } from "../support/RedisServer.ts"
import * as Permissions from "./Permissions.ts"
import { ScriptedCluster } from "./ScriptedCluster.ts"

const small = RedisServer.layer(["--maxmemory", "16mb", "--maxmemory-policy", "noeviction"])

const outOfMemory = "Redis is out of memory"
const hasMemory = "Redis has memory again"

/** The lines of the log, each after its level. */
const logging = () => {
  const lines: Array<string> = []
  const layer = Logger.layer([
    Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${String(message)}`))
  ])
  return { lines, layer }
}

const usedMemory = Effect.gen(function* () {
  const info = String(yield* (yield* RedisServer).command("INFO", "memory"))
  return Number(/used_memory:([0-9]+)/.exec(info)?.[1])
})

/** Redis has no memory left, as when another program used it up. */
const noMemory = Effect.flatMap(RedisServer, ({ command }) => command("CONFIG", "SET", "maxmemory", "1"))

describe("a shared cache whose Redis is out of memory", () => {
  it.live("shows the last list, which ages, while a new one does not fit, and the new one once there is memory", () => {
    const { layer, lines } = logging()
    return Effect.gen(function* () {
      const redis = yield* RedisServer
      yield* redis.command("ACL", "SETUSER", "service", "on", ">password", ...Permissions.atServers("test"))
      const url = Redacted.make(`redis://service:password@127.0.0.1:${redis.port}`)
      // To encode the list holds up the heartbeats, and here the readers too.
      const settings: SharedCacheOptions = {
        ...options(redis),
        server: { _tag: "Url", url },
        lease: Duration.seconds(30)
      }
      const cluster = new ScriptedCluster()
      yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      const { cache } = yield* following(SharedCache.events(settings), settings)
      yield* untilAge(cache, (age) => age === 0)
      for (let index = 0; index < 100_000; index++) {
        cluster.deployments.set(`keep/deployment-${index}`, { replicas: index, version: 3 })
      }
      cluster.relist()
      yield* eventually(
        () => lines,
        (logged) => logged.some((line) => line.startsWith(`Error ${outOfMemory}`))
      )
      yield* untilAge(cache, (age) => age >= 2)
      assert.isDefined(countOf(cache.current(), "keep/always"))
      // The leader keeps the lease and the list. Another would only list the cluster again.
      assert.deepStrictEqual(cluster.runs, { all: 1, now: 1 })
      // The unfinished list does not keep memory from others.
      yield* eventually(usedMemory, (used) => used < 8_000_000)
      yield* redis.command("CONFIG", "SET", "maxmemory", "256mb")
      yield* untilCount(cache, "keep/deployment-99999", 99_999)
      yield* untilAge(cache, (age) => age === 0)
      assert.deepStrictEqual(cluster.runs, { all: 1, now: 1 })
      assert.lengthOf(
        lines.filter((line) => line.startsWith("Error")),
        1
      )
      assert.lengthOf(
        lines.filter((line) => line.includes(hasMemory)),
        1
      )
      // The documented permissions suffice.
      assert.deepStrictEqual(yield* redis.command("ACL", "LOG"), [])
    }).pipe(Effect.scoped, Effect.provide([small, layer]))
  })

  it.live("ages while a change does not fit, shows it once there is memory, and needs no new list", () => {
    const { layer, lines } = logging()
    return Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = options(redis)
      const cluster = new ScriptedCluster()
      yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      cluster.put("a/x")
      const { cache } = yield* following(SharedCache.events(settings), settings)
      yield* untilCount(cache, "a/x")
      yield* untilAge(cache, (age) => age === 0)
      yield* noMemory
      cluster.put("a/y")
      yield* untilAge(cache, (age) => age >= 2)
      assert.isUndefined(countOf(cache.current(), "a/y"))
      // An instance that starts now shows the same age.
      const late = yield* following(SharedCache.events(settings), settings)
      yield* untilAge(late.cache, (age) => age >= 2)
      yield* redis.command("CONFIG", "SET", "maxmemory", "16mb")
      for (const { cache: one } of [{ cache }, late]) {
        yield* untilCount(one, "a/y")
        yield* untilAge(one, (age) => age === 0)
      }
      assert.deepStrictEqual(cluster.runs, { all: 1, now: 1 })
      assert.isTrue(lines.some((line) => line.startsWith(`Error ${outOfMemory}`)))
    }).pipe(Effect.scoped, Effect.provide([small, layer]))
  })

  it.live("gets a leader and releases its lease", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = options(redis)
      const { lease } = keysOf("test")
      yield* noMemory
      const cluster = new ScriptedCluster()
      const { close } = yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      yield* eventually(redis.command("EXISTS", lease), (exists) => exists === 1)
      yield* eventually(
        () => cluster.runs,
        ({ now }) => now === 1
      )
      yield* close
      assert.strictEqual(yield* redis.command("EXISTS", lease), 0)
    }).pipe(Effect.scoped, Effect.provide(small))
  )
})
