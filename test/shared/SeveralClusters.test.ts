/** Several clusters with one Redis and one prefix. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Layer, Logger, Ref, References } from "effect"
import { ClusterIdentity, type Identity, layerOf } from "../../src/model/ClusterIdentity.ts"
import { keysOf } from "../../src/shared/redis/Keys.ts"
import * as SharedCache from "../../src/shared/SharedCache.ts"
import { eventually } from "../support/Eventually.ts"
import { RedisServer } from "../support/RedisServer.ts"
import { endpointOf, identityOf, other, own } from "./Clusters.ts"
import { countOf, following, options, untilAge, untilCount } from "./Following.ts"
import { ScriptedCluster } from "./ScriptedCluster.ts"

const keys = keysOf("test")

/** An identity of which the endpoint alone is known until `answer`. */
const unanswered = Effect.gen(function* () {
  const known = yield* Ref.make<Identity>({ endpoint: own.endpoint })
  const determined = yield* Deferred.make<Identity>()
  return {
    layer: Layer.succeed(ClusterIdentity, { current: Ref.get(known), determined: Deferred.await(determined) }),
    answer: (identity: Identity) => Effect.andThen(Ref.set(known, identity), Deferred.succeed(determined, identity))
  }
})

const logging = () => {
  const logged: Array<string> = []
  const layer = Layer.merge(
    Logger.layer([Logger.make(({ logLevel, message }) => void logged.push(`${logLevel} ${String(message)}`))]),
    Layer.succeed(References.MinimumLogLevel, "Debug")
  )
  const errors = (text: string) => logged.filter((line) => line.startsWith("Error") && line.includes(text))
  const count = (text: string) => logged.filter((line) => line.includes(text)).length
  return { layer, errors, count }
}

/** All keys with their content. */
const everything = Effect.gen(function* () {
  const redis = yield* RedisServer
  const names = [yield* redis.command("KEYS", "*")].flat().map(String).toSorted()
  return yield* Effect.forEach(names, (name) => Effect.map(redis.command("DUMP", name), (dump) => [name, dump]))
})

const noLead = "Cannot stand by as leader. Redis holds the state of another cluster"
const notShown = "Redis holds the state of another cluster"

describe("two clusters with one Redis and one prefix", () => {
  it.live("never meet: the second neither leads nor shows the first, and the first goes on", () => {
    const { count, errors, layer } = logging()
    return Effect.gen(function* () {
      // A busy leader must keep the lease.
      const settings = { ...options(yield* RedisServer), lease: Duration.seconds(5) }
      const redis = yield* RedisServer
      const [first, second] = [new ScriptedCluster(), new ScriptedCluster()]
      const leader = yield* following(SharedCache.eventsOf(settings, first.source), settings)
      const reader = yield* following(SharedCache.events(settings), settings)
      first.put("a/x")
      yield* untilCount(reader.cache, "a/x")
      const token = yield* redis.command("GET", keys.lease)

      const foreign = {
        candidate: yield* following(SharedCache.eventsOf(settings, second.source), settings, layerOf(other)),
        server: yield* following(SharedCache.events(settings), settings, layerOf(other))
      }
      yield* eventually(
        () => count(noLead),
        (times) => times > 3
      )
      yield* eventually(
        () => errors(notShown).length,
        (times) => times >= 3
      )
      // Logged once each by the candidate and by the two readers.
      assert.lengthOf(errors(notShown), 3)
      first.put("a/x")
      yield* untilCount(reader.cache, "a/x", first.deployments.get("a/x")?.replicas)
      yield* untilAge(reader.cache, (age) => age === 0)
      assert.strictEqual(yield* redis.command("GET", keys.lease), token)

      // Nor does it lead once the first has no leader.
      yield* leader.close
      const before = yield* everything
      const times = count(noLead)
      yield* eventually(
        () => count(noLead),
        (now) => now > times + 3
      )
      assert.deepStrictEqual(yield* everything, before)
      assert.strictEqual(second.runs.all, 0)
      for (const { cache, taken } of [foreign.candidate, foreign.server]) {
        assert.isFalse(cache.isSynced())
        assert.deepStrictEqual(taken, [])
      }
      const next = yield* following(SharedCache.eventsOf(settings, first.source), settings)
      yield* untilAge(next.cache, (age) => age === 0)
      yield* untilAge(reader.cache, (age) => age === 0)
    }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), layer]))
  })

  it.live("change places once the keys are deleted: the old one keeps its view, which ages", () => {
    const { errors, layer } = logging()
    return Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = options(redis)
      const [replaced, cluster] = [new ScriptedCluster(), new ScriptedCluster()]
      const leader = yield* following(SharedCache.eventsOf(settings, replaced.source), settings)
      const reader = yield* following(SharedCache.events(settings), settings)
      replaced.put("a/x")
      yield* untilCount(reader.cache, "a/x")
      const candidate = yield* following(SharedCache.eventsOf(settings, cluster.source), settings, layerOf(other))
      const server = yield* following(SharedCache.events(settings), settings, layerOf(other))
      cluster.put("b/y")
      yield* eventually(
        () => errors(noLead).length,
        (times) => times === 1
      )
      yield* leader.close
      yield* redis.command("DEL", ...[yield* redis.command("KEYS", keys.all)].flat().map(String))
      for (const { cache } of [candidate, server]) {
        yield* untilAge(cache, (age) => age === 0)
        yield* untilCount(cache, "b/y")
        assert.isUndefined(countOf(cache.current(), "a/x"))
      }
      yield* untilAge(reader.cache, (age) => age > 0)
      assert.isDefined(countOf(reader.cache.current(), "a/x"))
      assert.isUndefined(countOf(reader.cache.current(), "b/y"))
    }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), layer]))
  })

  it.live("are told apart by their endpoints where only one of them reveals its UID", () => {
    const { errors, layer } = logging()
    return Effect.gen(function* () {
      const settings = options(yield* RedisServer)
      const cluster = new ScriptedCluster()
      yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      const same = yield* following(SharedCache.events(settings), settings, layerOf({ endpoint: own.endpoint }))
      yield* untilAge(same.cache, (age) => age === 0)
      const foreign = yield* following(SharedCache.events(settings), settings, layerOf({ endpoint: other.endpoint }))
      yield* eventually(
        () => errors(notShown).length,
        (times) => times === 1
      )
      assert.isFalse(foreign.cache.isSynced())
    }).pipe(Effect.scoped, Effect.provide([RedisServer.layer(), layer]))
  })
})

describe("a cluster that cannot be reached when an instance starts", () => {
  it.live("does not keep the instance from showing the cluster's state, but from leading", () =>
    Effect.gen(function* () {
      const settings = options(yield* RedisServer)
      const cluster = new ScriptedCluster()
      const leader = yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      const { answer, layer } = yield* unanswered
      const late = new ScriptedCluster()
      const { cache } = yield* following(SharedCache.eventsOf(settings, late.source), settings, layer)
      cluster.put("a/x")
      yield* untilCount(cache, "a/x")
      yield* leader.close
      yield* untilAge(cache, (age) => age >= 2)
      assert.strictEqual(late.runs.all, 0)
      yield* answer(own)
      yield* untilAge(cache, (age) => age === 0)
      assert.strictEqual(late.runs.now, 1)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("is recognized by its UID later, although its endpoint changed", () =>
    Effect.gen(function* () {
      const settings = options(yield* RedisServer)
      const cluster = new ScriptedCluster()
      const moved = { uid: own.uid, endpoint: endpointOf("a new address") }
      yield* following(SharedCache.eventsOf(settings, cluster.source), settings, layerOf(moved))
      const { answer, layer } = yield* unanswered
      const { cache, taken } = yield* following(SharedCache.events(settings), settings, layer)
      const { cache: current } = yield* following(SharedCache.events(settings), settings, layerOf(moved))
      yield* untilAge(current, (age) => age === 0)
      assert.deepStrictEqual(taken, [])
      yield* answer(own)
      yield* untilAge(cache, (age) => age === 0)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )

  it.live("ends the instance if it turns out to be another one than was shown", () =>
    Effect.gen(function* () {
      const settings = options(yield* RedisServer)
      const cluster = new ScriptedCluster()
      yield* following(SharedCache.eventsOf(settings, cluster.source), settings)
      const { answer, layer } = yield* unanswered
      const { cache } = yield* following(SharedCache.events(settings), settings, layer)
      yield* cache.awaitSynced
      yield* answer({ ...identityOf("rebuilt"), endpoint: own.endpoint })
      const exit = yield* Effect.exit(cache.failed)
      assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes("a cluster other than its own"))
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )
})
