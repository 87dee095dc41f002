import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Context, Duration, Effect, Exit, Layer, Schema, Scope } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { CacheObserver, ClusterCache } from "../../src/cache/ClusterCache.ts"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import { keysOf } from "../../src/shared/Keys.ts"
import * as SharedLog from "../../src/shared/SharedLog.ts"
import * as SharedCache from "../../src/shared/SharedCache.ts"
import type { SharedCacheOptions } from "../../src/shared/SharedCacheOptions.ts"
import { eventually } from "../support/Eventually.ts"
import { RedisServer } from "../support/RedisServer.ts"
import { ScriptedCluster } from "./ScriptedCluster.ts"
import { makeWatchdog, shown, truth } from "./Shown.ts"

/** One instance: its cache, and the violations seen in it. */
interface Instance {
  readonly cache: ClusterCache["Service"]
  readonly violations: ReadonlyArray<string>
  readonly close: Effect.Effect<void>
}

const start = Effect.fnUntraced(function* (options: SharedCacheOptions, cluster: ScriptedCluster | undefined) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const { check, violations } = makeWatchdog()
  let cache: ClusterCache["Service"] | undefined
  const observe = (event: ClusterEvent) => {
    if (cache?.isSynced() === true) check(shown(cache.current()), event._tag)
  }
  const events = cluster === undefined ? SharedCache.events(options) : SharedCache.eventsOf(options, cluster.source)
  const services = yield* Layer.buildWithScope(
    ClusterCache.layer(events).pipe(
      Layer.provide(Layer.succeed(CacheObserver, { applied: observe })),
      Layer.provide(NodeServices.layer)
    ),
    scope
  )
  cache = Context.get(services, ClusterCache)
  return { cache, violations, close: Scope.close(scope, Exit.void) } satisfies Instance
})

const untilSynced = (instances: ReadonlyArray<Instance>) =>
  eventually(
    () => instances.map(({ cache }) => cache.isSynced()),
    (synced) => synced.every(Boolean)
  )

/** Waits until there is one leader and the caches are current and equal the cluster. A failure names the `steps`. */
const untilConverged = (instances: ReadonlyArray<Instance>, cluster: ScriptedCluster, steps: string) =>
  eventually(
    () => ({
      leaders: cluster.runs.now,
      caches: instances.map(({ cache }) => ({ ...shown(cache.current()), age: cache.age() }))
    }),
    (state) => {
      const expected = { ...truth(cluster), age: 0 }
      assert.deepStrictEqual(state, { leaders: 1, caches: instances.map(() => expected) }, steps)
    }
  )

/** Waits for another leader than the first `before` ones. */
const untilNextLeader = (cluster: ScriptedCluster, before: number) =>
  eventually(
    () => cluster.runs.all,
    (leaders) => leaders > before
  )

const paths = ["a/x", "a/y", "b/x", "c/z"] as const

const Step = Schema.Union([
  Schema.TaggedStruct("put", { path: Schema.Literals(paths) }),
  Schema.TaggedStruct("put", { path: Schema.Literals(paths) }),
  Schema.TaggedStruct("delete", { path: Schema.Literals(paths) }),
  Schema.TaggedStruct("deleteNamespace", { name: Schema.Literals(["a", "b"]) }),
  Schema.TaggedStruct("relist", {}),
  Schema.TaggedStruct("burst", { count: Schema.Int.check(Schema.isBetween({ minimum: 50, maximum: 300 })) }),
  Schema.TaggedStruct("pause", { millis: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 })) }),
  Schema.TaggedStruct("redeploy", {}),
  Schema.TaggedStruct("newReader", {}),
  Schema.TaggedStruct("stolenLease", {}),
  Schema.TaggedStruct("noLease", {}),
  Schema.TaggedStruct("flush", {}),
  Schema.TaggedStruct("restart", {}),
  Schema.TaggedStruct("cut", {}),
  Schema.TaggedStruct("trim", { kept: Schema.Literals([0, 1, 3]) }),
  Schema.TaggedStruct("lose", {
    key: Schema.Literals(["lists", "namespaces", "deployments", "events", "epoch", "scopes"])
  }),
  Schema.TaggedStruct("garbage", {})
])
type Step = typeof Step.Type

const act = Effect.fnUntraced(function* (
  step: Step,
  cluster: ScriptedCluster,
  options: SharedCacheOptions,
  candidates: Array<Instance>,
  readers: Array<Instance>
) {
  const redis = yield* RedisServer
  const keys = keysOf(options.keyPrefix)
  switch (step._tag) {
    case "put":
      return cluster.put(step.path)
    case "delete":
      return cluster.delete(step.path)
    case "deleteNamespace":
      return cluster.deleteNamespace(step.name)
    case "relist":
      return cluster.relist()
    case "burst":
      for (let i = 0; i < step.count; i++) cluster.put(paths[i % paths.length] ?? paths[0])
      return undefined
    case "pause":
      return yield* Effect.sleep(step.millis)
    case "redeploy": {
      const [first] = candidates.splice(0, 1)
      if (first !== undefined) yield* first.close
      candidates.push(yield* start(options, cluster))
      return undefined
    }
    case "newReader":
      readers.push(yield* start(options, undefined))
      return undefined
    case "stolenLease":
      // The holder never writes. The old leader finds its lease taken, and for a while nobody leads.
      return yield* redis.command("SET", keys.lease, "another", "PX", "200")
    case "noLease":
      return yield* redis.command("DEL", keys.lease)
    case "flush":
      return yield* redis.command("FLUSHALL")
    case "restart":
      return yield* Effect.andThen(redis.stop, redis.start)
    case "cut":
      return yield* redis.command("CLIENT", "KILL", "TYPE", "normal")
    case "trim":
      return yield* redis.command("XTRIM", keys.events, "MAXLEN", String(step.kept))
    case "lose": {
      if (step.key === "events" || step.key === "epoch" || step.key === "scopes") {
        return yield* redis.command("DEL", keys[step.key])
      }
      for (const scope of step.key === "lists" ? ["namespaces", "deployments"] : [step.key]) {
        const generation = yield* redis.command("HGET", keys.scopes, scope)
        if (typeof generation === "string") yield* redis.command("DEL", generation)
      }
      return undefined
    }
    case "garbage":
      return yield* redis.command("XADD", keys.events, "*", "at", "now", "entry", "{}")
  }
})

const isId = (id: unknown): id is string => typeof id === "string"

describe("instances that share a cache in Redis", () => {
  const options = (redis: RedisServer["Service"], keyPrefix: string): SharedCacheOptions => ({
    url: redis.url,
    keyPrefix,
    lease: Duration.millis(900),
    maxEntries: 50,
    backoffFirst: Duration.millis(5),
    backoffLongest: Duration.millis(100)
  })

  it.live(
    "converge to the cluster under any faults of Redis and of leaders, and never show an empty or older state",
    () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const sequences = yield* Arbitrary.sampleEffect(
          Arbitrary.array(Arbitrary.schema(Step), { minLength: 8, maxLength: 16 }),
          {
            count: 15
          }
        )
        let run = 0
        for (const sequence of sequences) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const settings = options(redis, `run-${++run}`)
              const cluster = new ScriptedCluster()
              const candidates = [yield* start(settings, cluster), yield* start(settings, cluster)]
              const readers = [yield* start(settings, undefined)]
              const all = [...candidates, ...readers]
              yield* untilSynced(all)
              for (const step of sequence) {
                yield* act(step, cluster, settings, candidates, readers)
                for (const one of [...candidates, ...readers]) if (!all.includes(one)) all.push(one)
              }
              // Every instance sees the last change only if there is a leader.
              cluster.put("keep/always")
              const current = [...candidates, ...readers]
              const what = JSON.stringify(sequence)
              yield* untilConverged(current, cluster, what)
              assert.deepStrictEqual(
                all.flatMap(({ violations }) => violations),
                [],
                what
              )
              // The leader alone runs the source.
              assert.strictEqual(cluster.runs.now, 1, what)
            })
          )
        }
      }).pipe(Effect.provide(RedisServer.layer())),
    60_000
  )

  it.live("do not go back when Redis returns with an earlier state, as a lagging replica does", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = options(redis, "lagging")
      const cluster = new ScriptedCluster()
      const instances = [
        yield* start(settings, cluster),
        yield* start(settings, cluster),
        yield* start(settings, undefined)
      ]
      const converged = untilConverged(instances, cluster, "")
      for (const newLeader of [false, true, false, true]) {
        for (const path of paths) cluster.put(path)
        yield* converged
        yield* redis.command("SAVE")
        const before = cluster.runs.all
        cluster.put("a/x")
        cluster.delete("b/x")
        cluster.deleteNamespace("c")
        if (newLeader) {
          yield* redis.command("DEL", keysOf("lagging").lease)
          yield* untilNextLeader(cluster, before)
        }
        cluster.put("a/y")
        yield* converged
        // Killed: it forgets everything since the save.
        yield* Effect.andThen(redis.stop, redis.start)
        cluster.put("keep/always")
        yield* converged
        for (const { violations } of instances) assert.deepStrictEqual(violations, [])
      }
    }).pipe(
      Effect.scoped,
      Effect.provide(RedisServer.layer(["--dir", mkdtempSync(join(tmpdir(), "kube-resource-api-redis-"))]))
    )
  )

  it.live("have one leader at a time, and each leader numbers its entries from 0 without a gap", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const settings = { ...options(redis, "fenced"), maxEntries: 100_000 }
      const cluster = new ScriptedCluster()
      const candidates = [
        yield* start(settings, cluster),
        yield* start(settings, cluster),
        yield* start(settings, cluster)
      ]
      yield* untilSynced(candidates)
      for (let turn = 0; turn < 12; turn++) {
        const before = cluster.runs.all
        for (let change = 0; change < 20; change++) cluster.put(paths[change % paths.length] ?? paths[0])
        // The leader is writing when it loses the lease to another.
        yield* redis.command("DEL", keysOf("fenced").lease)
        yield* untilNextLeader(cluster, before)
      }
      yield* eventually(
        () => candidates.map(({ cache }) => shown(cache.current())),
        (caches) =>
          assert.deepStrictEqual(
            caches,
            candidates.map(() => truth(cluster))
          )
      )
      for (const { violations } of candidates) assert.deepStrictEqual(violations, [])
      const entries = yield* redis.command("XRANGE", keysOf("fenced").events, "-", "+")
      assert.isTrue(Array.isArray(entries))
      let before: SharedLog.LogId = SharedLog.start
      let epochs = 0
      for (const entry of Array.isArray(entries) ? entries : []) {
        const id = SharedLog.parseId(Array.isArray(entry) && isId(entry[0]) ? entry[0] : undefined)
        if (id._tag === "None") throw new Error(`no id of the log: ${JSON.stringify(entry)}`)
        assert.isTrue(
          SharedLog.follows(id.value, before),
          `${SharedLog.formatId(id.value)} after ${SharedLog.formatId(before)}`
        )
        if (id.value.seq === 0) epochs++
        before = id.value
      }
      assert.isAtLeast(epochs, 12)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )
})
