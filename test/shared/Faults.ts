import { Duration, Effect, Exit, Redacted, Schema, Scope } from "effect"
import { keysOf } from "../../src/shared/redis/Keys.ts"
import type { SharedCacheOptions } from "../../src/shared/SharedCacheOptions.ts"
import type { RedisServer } from "../support/RedisServer.ts"
import * as TcpProxy from "../support/TcpProxy.ts"
import * as Instances from "./Instances.ts"
import type { ScriptedCluster } from "./ScriptedCluster.ts"

/** An instance with its network. */
export interface Instance extends Instances.Instance {
  readonly proxy: TcpProxy.TcpProxy
}

/** A cluster, the Redis that its instances share, and their settings. */
export interface Installation {
  readonly cluster: ScriptedCluster
  readonly redis: RedisServer["Service"]
  readonly settings: SharedCacheOptions
}

export const settingsOf = (redis: RedisServer["Service"], keyPrefix: string): SharedCacheOptions => ({
  server: { _tag: "Url", url: redis.url },
  keyPrefix,
  lease: Duration.millis(1200),
  maxEntries: 50,
  backoffFirst: Duration.millis(5),
  backoffLongest: Duration.millis(100)
})

/** Starts an instance with a network of its own. */
export const start = Effect.fnUntraced(function* (
  { cluster, redis, settings }: Installation,
  role: Instances.Role,
  delayMillis = 0
) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  return yield* Effect.gen(function* () {
    const proxy = yield* TcpProxy.make(() => redis.port)
    yield* proxy.delay(delayMillis)
    const url = Redacted.make(`redis://127.0.0.1:${proxy.port}`)
    const instance = yield* Instances.start({ ...settings, server: { _tag: "Url", url } }, cluster, role)
    return { ...instance, proxy, close: Scope.close(scope, Exit.void) } satisfies Instance
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
  Schema.TaggedStruct("outOfMemory", { millis: between(1, 300) }),
  Schema.TaggedStruct("trim", { kept: Schema.Literals([0, 1, 3]) }),
  Schema.TaggedStruct("lose", {
    key: Schema.Literals(["lists", "namespaces", "deployments", "events", "epoch", "scopes"])
  }),
  Schema.TaggedStruct("garbage", {})
])
export type Step = typeof Step.Type

/** The instances of an installation, and the violations seen in those that are gone. */
export interface Group {
  readonly candidates: Array<Instance>
  readonly readers: Array<Instance>
  readonly all: Array<Instance>
}

const replace = Effect.fnUntraced(function* (
  installation: Installation,
  { all, candidates }: Group,
  at: number,
  beforeClose: (instance: Instance) => Effect.Effect<void>
) {
  const [old] = candidates.splice(at % candidates.length, 1)
  if (old !== undefined) {
    yield* beforeClose(old)
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
export const act = Effect.fnUntraced(function* (step: Step, installation: Installation, instances: Group) {
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
      return yield* replace(installation, instances, 0, () => Effect.void)
    case "kill":
      // It cannot release the lease.
      return yield* replace(installation, instances, step.candidate, ({ proxy }) => proxy.lose(() => true, false))
    case "hold":
      for (const { proxy } of instances.candidates.slice(step.candidate, step.candidate + 1)) {
        yield* proxy.hold(step.millis)
      }
      return undefined
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
      yield* redis.freeze
      cluster.put(paths[0])
      yield* Effect.sleep(step.millis)
      return yield* redis.thaw
    case "flush":
      return yield* redis.command("FLUSHALL")
    case "restart":
      return yield* Effect.andThen(redis.stop, redis.start)
    case "cut":
      return yield* redis.command("CLIENT", "KILL", "TYPE", "normal")
    case "outOfMemory":
      cluster.put("a/x")
      cluster.relist()
      yield* redis.command("CONFIG", "SET", "maxmemory", "1")
      yield* Effect.sleep(step.millis)
      return yield* redis.command("CONFIG", "SET", "maxmemory", "0")
    case "trim":
      return yield* redis.command("XTRIM", keys.events, "MAXLEN", String(step.kept))
    case "lose":
      return yield* lose(installation, step)
    case "garbage":
      return yield* redis.command("XADD", keys.events, "*", "at", "now", "entry", "{}")
  }
})
