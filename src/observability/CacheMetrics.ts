import { Clock, Effect, Layer, Metric, Predicate, type Scope } from "effect"
import { ClusterCache } from "../cache/ClusterCache.ts"
import { type ClusterEvent, resourceOf, type WatchedResource } from "../model/ClusterEvent.ts"
import { memoized } from "./Memoized.ts"
import * as ObservedMetric from "./ObservedMetric.ts"

const applied = memoized((type: ClusterEvent["_tag"]) =>
  Metric.counter("cache_events_total", {
    description: "Events that the cache has taken in, by type.",
    incremental: true,
    attributes: { type }
  })
)

const applyLag = Metric.histogram("cache_apply_lag_seconds", {
  description: "From the moment the informer had an event to the moment the cache showed it; measured on a sample.",
  boundaries: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5]
})

/** The one event of a resource whose way to the cache is being timed. */
interface Timed {
  emitted: number
  taken: number
  /** The count of `emitted` at which the event was told, and when. */
  target: number
  since: bigint
}

const untimed = (): Timed => ({ emitted: 0, taken: 0, target: 0, since: 0n })

/** What a resource's watches are named by: one for the whole cluster, or one for each namespace. */
const scopeOf = (event: ClusterEvent): string =>
  Predicate.hasProperty(event, "namespace") ? String(event.namespace) : ""

/**
 * The cache's observer and the informers' `emitting`, together: events come to the cache in the order in which they were
 * emitted, so that counting them on both sides finds one again. One at a time is timed.
 */
export const makeObserver = Effect.gen(function* () {
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const timed: Record<WatchedResource, Timed> = { namespaces: untimed(), deployments: untimed() }
  /** Whether each watch is live, once it has been heard of. */
  const live: Record<WatchedResource, Map<string, boolean>> = { namespaces: new Map(), deployments: new Map() }
  for (const resource of ["namespaces", "deployments"] as const) {
    yield* ObservedMetric.gauge(
      {
        name: "informer_connected",
        description: "1 while the resource's watches are open and what is known is current, else 0.",
        attributes: { resource }
      },
      () => (live[resource].size > 0 && Array.from(live[resource].values()).every(Boolean) ? 1 : 0)
    )
  }
  return {
    emitting: (resource: WatchedResource): void => {
      const one = timed[resource]
      one.emitted++
      if (one.target > one.taken) return
      one.target = one.emitted
      one.since = clock.currentTimeNanosUnsafe()
    },
    applied: (event: ClusterEvent): void => {
      applied(event._tag).updateUnsafe(1, context)
      const resource = resourceOf(event)
      if (event._tag === "Heard" || event._tag === "Lost") {
        live[resource].set(scopeOf(event), event._tag === "Heard")
      }
      const one = timed[resource]
      one.taken++
      if (one.taken === one.target)
        applyLag.updateUnsafe(Number(clock.currentTimeNanosUnsafe() - one.since) / 1e9, context)
    }
  }
})

/** What the cache holds. */
export const gauges: Effect.Effect<void, never, ClusterCache | Scope.Scope> = Effect.gen(function* () {
  const cache = yield* ClusterCache
  const clock = yield* Clock.Clock
  yield* ObservedMetric.gauge(
    { name: "cache_synced", description: "1 once namespaces and deployments have been listed, else 0." },
    () => (cache.isSynced() ? 1 : 0)
  )
  yield* ObservedMetric.gauge(
    { name: "cache_namespaces", description: "Namespaces in the cache." },
    () => cache.current().namespaceCount
  )
  yield* ObservedMetric.gauge(
    { name: "cache_deployments", description: "Deployments in the cache." },
    () => cache.current().deploymentCount
  )
  yield* ObservedMetric.gauge(
    {
      name: "cache_age_seconds",
      description: "Since the cluster was last heard; 0 while both watches are live. What `Age` says on reads."
    },
    () => cache.age(clock.currentTimeMillisUnsafe())
  )
})

/** The gauges for as long as the layer's scope is open. */
export const layerGauges: Layer.Layer<never, never, ClusterCache> = Layer.effectDiscard(gauges)
