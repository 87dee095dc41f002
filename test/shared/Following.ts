import { Context, Duration, Effect, Exit, Layer, Scope } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { CacheObserver, ClusterCache } from "../../src/cache/ClusterCache.ts"
import * as View from "../../src/cache/ClusterView.ts"
import * as ViewReads from "../../src/cache/ViewReads.ts"
import * as ClusterIdentity from "../../src/model/ClusterIdentity.ts"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import type * as SharedCache from "../../src/shared/SharedCache.ts"
import type { SharedCacheOptions } from "../../src/shared/SharedCacheOptions.ts"
import * as Given from "../cache/Given.ts"
import { own } from "./Clusters.ts"
import { eventually } from "../support/Eventually.ts"
import type { RedisServer } from "../support/RedisServer.ts"

/** Options for this Redis, with short waits. */
export const options = (redis: RedisServer["Service"], only?: ReadonlyArray<string>): SharedCacheOptions => ({
  server: { _tag: "Url", url: redis.url },
  keyPrefix: "test",
  lease: Duration.seconds(1),
  backoffFirst: Duration.millis(5),
  backoffLongest: Duration.millis(100),
  ...(only === undefined ? {} : { namespaces: only.map(Given.ns) })
})

/** A cache over these events, and the events that it applied. */
export const following = Effect.fnUntraced(function* (
  events: ReturnType<typeof SharedCache.events>,
  settings: SharedCacheOptions,
  identity: Layer.Layer<ClusterIdentity.ClusterIdentity> = ClusterIdentity.layerOf(own)
) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const taken: Array<ClusterEvent> = []
  const services = yield* Layer.buildWithScope(
    ClusterCache.layer(events, settings.namespaces).pipe(
      Layer.provide(Layer.succeed(CacheObserver, { applied: (event) => void taken.push(event) })),
      Layer.provide(identity),
      Layer.provide(NodeServices.layer)
    ),
    scope
  )
  return { cache: Context.get(services, ClusterCache), taken, close: Scope.close(scope, Exit.void) }
})

/** The shown replica count of a deployment. */
export const countOf = (view: View.ClusterView, path: string) =>
  ViewReads.getDeployment(view, Given.ref(path))?.replicas

/** Waits until a cache shows a replica count, by default any count, for a deployment. */
export const untilCount = (cache: ClusterCache["Service"], path: string, expected?: number) =>
  eventually(
    () => countOf(cache.current(), path),
    (count) => (expected === undefined ? count !== undefined : count === expected)
  )

/** Waits until the age of a synced cache in seconds meets `holds`. */
export const untilAge = (cache: ClusterCache["Service"], holds: (age: number) => boolean) =>
  eventually(
    () => ({ isSynced: cache.isSynced(), age: cache.age() }),
    ({ age, isSynced }) => isSynced && holds(age)
  )
