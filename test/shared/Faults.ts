import { Context, Duration, Effect, Exit, Layer, Redacted, Schema, Scope } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { CacheObserver, ClusterCache } from "../../src/cache/ClusterCache.ts"
import * as View from "../../src/cache/ClusterView.ts"
import { keysOf } from "../../src/shared/Keys.ts"
import * as SharedCache from "../../src/shared/SharedCache.ts"
import type { SharedCacheOptions } from "../../src/shared/SharedCacheOptions.ts"
import type { RedisServer } from "../support/RedisServer.ts"
import * as TcpProxy from "../support/TcpProxy.ts"
import type { ScriptedCluster } from "./ScriptedCluster.ts"
import { makeWatchdog, shown } from "./Shown.ts"

/** One instance: its cache, its network, and the violations seen in it. */
export interface Instance {
  readonly cache: ClusterCache["Service"]
  readonly proxy: TcpProxy.TcpProxy
  readonly violations: ReadonlyArray<string>
  readonly close: Effect.Effect<void>
}

/** A cluster, the Redis that its instances share, and their settings. */
export interface Installation {
  readonly cluster: ScriptedCluster
  readonly redis: RedisServer["Service"]
  readonly settings: SharedCacheOptions
}

export const settingsOf = (redis: RedisServer["Service"], keyPrefix: string): SharedCacheOptions => ({
  url: redis.url,
  keyPrefix,
  lease: Duration.millis(1200),
  maxEntries: 50,
  backoffFirst: Duration.millis(5),
  backoffLongest: Duration.millis(100)
})

/** Between the checks of an instance that applies no event. */
const checkEvery = Duration.millis(25)

/** Starts an instance with a network of its own, and checks all that it shows. A reader never leads. */
export const start = Effect.fnUntraced(function* (
  { cluster, redis, settings }: Installation,
  role: "candidate" | "reader",
  delayMillis = 0
) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  return yield* Effect.gen(function* () {
    const proxy = yield* TcpProxy.make(redis.port)
    proxy.delay(delayMillis)
    const options = { ...settings, url: Redacted.make(`redis://127.0.0.1:${proxy.port}`) }
    const watchdog = makeWatchdog()
    let cache: ClusterCache["Service"] | undefined
    let isChecking = false
    let before = { view: View.empty, state: shown(View.empty) }
    const check = (after: string) => {
      isChecking = false
      if (cache?.isSynced() !== true) return
      const view = cache.current()
      if (view !== before.view) {
        before = { view, state: shown(view) }
        watchdog.check(before.state, after)
      }
      const { state } = before
      watchdog.checkAge(cluster.history.ageOf(state, performance.now()), cache.age(), after)
    }
    const observe = ({ _tag }: { readonly _tag: string }) => {
      if (isChecking) return
      isChecking = true
      // By then the view is in place.
      queueMicrotask(() => check(_tag))
    }
    const events = role === "reader" ? SharedCache.events(options) : SharedCache.eventsOf(options, cluster.source)
    const services = yield* Layer.build(
      ClusterCache.layer(events).pipe(
        Layer.provide(Layer.succeed(CacheObserver, { applied: observe })),
        Layer.provide(NodeServices.layer)
      )
    )
    cache = Context.get(services, ClusterCache)
    yield* Effect.forkScoped(
      Effect.forever(
        Effect.andThen(
          Effect.sleep(checkEvery),
          Effect.sync(() => check("a poll"))
        )
      )
    )
    const { violations } = watchdog
    return { cache, proxy, violations, close: Scope.close(scope, Exit.void) } satisfies Instance
  }).pipe(Scope.provide(scope))
})

export const paths = ["a/x", "a/y", "b/x", "c/z"] as const

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

export const Step = Schema.Union([
  // The more often a member is listed, the more often it is drawn.
  Schema.TaggedStruct("put", { path: Schema.Literals(paths) }),
  Schema.TaggedStruct("put", { path: Schema.Literals(paths) }),
  Schema.TaggedStruct("put", { path: Schema.Literals(paths) }),
  Schema.TaggedStruct("delete", { path: Schema.Literals(paths) }),
  Schema.TaggedStruct("deleteNamespace", { name: Schema.Literals(["a", "b"]) }),
  Schema.TaggedStruct("relist", {}),
  Schema.TaggedStruct("away", {}),
  Schema.TaggedStruct("back", {}),
  Schema.TaggedStruct("burst", { count: between(50, 300) }),
  Schema.TaggedStruct("pause", { millis: between(1, 40) }),
  Schema.TaggedStruct("pause", { millis: between(100, 800) }),
  Schema.TaggedStruct("redeploy", {}),
  Schema.TaggedStruct("kill", { candidate: between(0, 1) }),
  Schema.TaggedStruct("hold", { candidate: between(0, 1), millis: between(100, 1600) }),
  Schema.TaggedStruct("newReader", { delayMillis: Schema.Literals([0, 0, 10, 30]) }),
  Schema.TaggedStruct("stolenLease", {}),
  Schema.TaggedStruct("noLease", {}),
  Schema.TaggedStruct("freeze", { millis: between(100, 1500) }),
  Schema.TaggedStruct("flush", {}),
  Schema.TaggedStruct("restart", {}),
  Schema.TaggedStruct("cut", {}),
  Schema.TaggedStruct("trim", { kept: Schema.Literals([0, 1, 3]) }),
  Schema.TaggedStruct("lose", {
    key: Schema.Literals(["lists", "namespaces", "deployments", "events", "epoch", "scopes"])
  }),
  Schema.TaggedStruct("garbage", {})
])
export type Step = typeof Step.Type

/** The instances of an installation, and the violations seen in those that are gone. */
export interface Instances {
  readonly candidates: Array<Instance>
  readonly readers: Array<Instance>
  readonly all: Array<Instance>
}

const replace = Effect.fnUntraced(function* (
  installation: Installation,
  { all, candidates }: Instances,
  at: number,
  beforeClose: (instance: Instance) => void
) {
  const [old] = candidates.splice(at % candidates.length, 1)
  if (old !== undefined) {
    beforeClose(old)
    yield* old.close
  }
  const next = yield* start(installation, "candidate")
  candidates.push(next)
  all.push(next)
})

const lose = Effect.fnUntraced(function* (
  { redis, settings }: Installation,
  { key }: Extract<Step, { readonly _tag: "lose" }>
) {
  const keys = keysOf(settings.keyPrefix)
  if (key === "events" || key === "epoch" || key === "scopes") return yield* redis.command("DEL", keys[key])
  for (const scope of key === "lists" ? ["namespaces", "deployments"] : [key]) {
    const generation = yield* redis.command("HGET", keys.scopes, scope)
    if (typeof generation === "string") yield* redis.command("DEL", generation)
  }
  return undefined
})

/** Performs a step. */
export const act = Effect.fnUntraced(function* (step: Step, installation: Installation, instances: Instances) {
  const { cluster, redis, settings } = installation
  const keys = keysOf(settings.keyPrefix)
  switch (step._tag) {
    case "put":
      return cluster.put(step.path)
    case "delete":
      return cluster.delete(step.path)
    case "deleteNamespace":
      return cluster.deleteNamespace(step.name)
    case "relist":
      return cluster.relist()
    case "away":
      return cluster.leave()
    case "back":
      return cluster.comeBack()
    case "burst":
      for (let i = 0; i < step.count; i++) cluster.put(paths[i % paths.length] ?? paths[0])
      return undefined
    case "pause":
      return yield* Effect.sleep(step.millis)
    case "redeploy":
      return yield* replace(installation, instances, 0, () => {})
    case "kill":
      // It cannot release the lease.
      return yield* replace(installation, instances, step.candidate, ({ proxy }) => proxy.silence())
    case "hold":
      return instances.candidates[step.candidate]?.proxy.hold(step.millis)
    case "newReader": {
      const reader = yield* start(installation, "reader", step.delayMillis)
      instances.readers.push(reader)
      instances.all.push(reader)
      return undefined
    }
    case "stolenLease":
      // The holder never writes. The old leader finds its lease taken, and for a while nobody leads.
      return yield* redis.command("SET", keys.lease, "another", "PX", "200")
    case "noLease":
      return yield* redis.command("DEL", keys.lease)
    case "freeze":
      yield* redis.signal("SIGSTOP")
      cluster.put(paths[0])
      yield* Effect.sleep(step.millis)
      return yield* redis.signal("SIGCONT")
    case "flush":
      return yield* redis.command("FLUSHALL")
    case "restart":
      return yield* Effect.andThen(redis.stop, redis.start)
    case "cut":
      return yield* redis.command("CLIENT", "KILL", "TYPE", "normal")
    case "trim":
      return yield* redis.command("XTRIM", keys.events, "MAXLEN", String(step.kept))
    case "lose":
      return yield* lose(installation, step)
    case "garbage":
      return yield* redis.command("XADD", keys.events, "*", "at", "now", "entry", "{}")
  }
})
