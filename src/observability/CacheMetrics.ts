import { Clock, Effect, Layer, Metric, Predicate, type Scope } from "effect"
import { ClusterCache } from "../cache/ClusterCache.ts"
import { type ClusterEvent, resourceOf, type WatchedResource } from "../model/ClusterEvent.ts"
import * as Metrics from "./Metrics.ts"

const applied = Metrics.memoized((type: ClusterEvent["_tag"]) =>
  Metric.counter("cache_events_total", {
    description: "Events that the cache has applied, by type.",
    incremental: true,
    attributes: { type }
  })
)

const applyLag = Metric.histogram("cache_apply_lag_seconds", {
  description: "Time from the informer's receipt of an event to its visibility in the cache, for a sample of events.",
  boundaries: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5]
})

/** The event of a resource whose way to the cache is being timed. */
interface Timed {
  emitted: number
  taken: number
  /** The value of `emitted` for this event, and its time. */
  target: number
  since: bigint
}

const untimed = (): Timed => ({ emitted: 0, taken: 0, target: 0, since: 0n })

/** The namespace of the event's watch; empty for a watch of the whole cluster. */
const scopeOf = (event: ClusterEvent): string =>
  Predicate.hasProperty(event, "namespace") ? String(event.namespace) : ""

/**
 * The observer of the cache and the `emitting` of the informers. The cache applies events in the order in which informers
 * emit them, so a count on both sides identifies an event. One event at a time is timed.
 */
export const makeObserver = Effect.gen(function* () {
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const timed: Record<WatchedResource, Timed> = { namespaces: untimed(), deployments: untimed() }
  /** Whether each known watch is live. */
  const live: Record<WatchedResource, Map<string, boolean>> = { namespaces: new Map(), deployments: new Map() }
  for (const resource of ["namespaces", "deployments"] as const) {
    yield* Metrics.gauge(
      {
        name: "informer_connected",
        description: "1 while all watches of the resource are open and current, else 0.",
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

/** Registers the gauges of the cache. */
export const gauges: Effect.Effect<void, never, ClusterCache | Scope.Scope> = Effect.gen(function* () {
  const cache = yield* ClusterCache
  yield* Metrics.gauge(
    { name: "cache_synced", description: "1 once the cache has the lists of namespaces and deployments, else 0." },
    () => (cache.isSynced() ? 1 : 0)
  )
  yield* Metrics.gauge(
    { name: "cache_namespaces", description: "Namespaces in the cache." },
    () => cache.current().namespaceCount
  )
  yield* Metrics.gauge(
    { name: "cache_deployments", description: "Deployments in the cache." },
    () => cache.current().deploymentCount
  )
  yield* Metrics.gauge(
    {
      name: "cache_age_seconds",
      description: "Age of the cached state, as in the Age header; 0 while the watches are live."
    },
    () => cache.age()
  )
})

/** Registers the gauges of the cache. They are removed when the scope closes. */
export const layerGauges: Layer.Layer<never, never, ClusterCache> = Layer.effectDiscard(gauges)
