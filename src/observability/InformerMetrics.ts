import { Clock, Effect, Metric, type Scope } from "effect"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { InformerObserver, RelistReason, WatchEnd } from "../kube/InformerObserver.ts"
import * as Metrics from "./Metrics.ts"

const resources = ["namespaces", "deployments"] as const satisfies ReadonlyArray<WatchedResource>

const relists = Metrics.memoized((resource: WatchedResource) =>
  Metrics.memoized((reason: RelistReason) =>
    Metric.counter("informer_relists_total", {
      description: "Relists, by resource and reason.",
      incremental: true,
      attributes: { resource, reason }
    })
  )
)
const relistDuration = Metrics.memoized((resource: WatchedResource) =>
  Metric.histogram("informer_relist_duration_seconds", {
    description: "Time from when a relist is due until it is emitted, including retries.",
    boundaries: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    attributes: { resource }
  })
)
const watchStarts = Metrics.memoized((resource: WatchedResource) =>
  Metric.counter("informer_watch_starts_total", {
    description: "Watches that the API server accepted.",
    incremental: true,
    attributes: { resource }
  })
)
const watchEnds = Metrics.memoized((resource: WatchedResource) =>
  Metrics.memoized((reason: WatchEnd) =>
    Metric.counter("informer_watch_ends_total", {
      description: "Watches that ended or were not accepted, by reason.",
      incremental: true,
      attributes: { resource, reason }
    })
  )
)
const decodeErrors = Metrics.memoized((resource: WatchedResource) =>
  Metric.counter("informer_decode_errors_total", {
    description: "Responses and watch events of the API server that could not be decoded.",
    incremental: true,
    attributes: { resource }
  })
)
const skipped = Metrics.memoized((resource: WatchedResource) =>
  Metric.counter("informer_objects_skipped_total", {
    description: "Objects skipped because they could not be decoded, counted at each list and change.",
    incremental: true,
    attributes: { resource }
  })
)

interface Watching {
  listingSince: number | undefined
  bookmarkAt: number
}

/** The observer that updates the metric registry of the context. CacheMetrics has `emitting`. */
export const make: Effect.Effect<Omit<InformerObserver, "emitting">, never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const state: Record<WatchedResource, Watching> = {
    namespaces: { listingSince: undefined, bookmarkAt: now() },
    deployments: { listingSince: undefined, bookmarkAt: now() }
  }
  for (const resource of resources) {
    yield* Metrics.gauge(
      {
        name: "informer_bookmark_age_seconds",
        description: "Time since the last bookmark, or since the start. kube-apiserver sends one a minute.",
        attributes: { resource }
      },
      () => (now() - state[resource].bookmarkAt) / 1000
    )
    // Alerts distinguish a count of 0 from a missing metric.
    yield* Metric.update(decodeErrors(resource), 0)
    yield* Metric.update(skipped(resource), 0)
  }
  return {
    listing: (resource) =>
      Effect.sync(() => {
        state[resource].listingSince ??= now()
      }),
    relisted: (resource, reason) =>
      Effect.suspend(() => {
        const since = state[resource].listingSince
        state[resource].listingSince = undefined
        return Effect.andThen(
          Metric.update(relists(resource)(reason), 1),
          since === undefined ? Effect.void : Metric.update(relistDuration(resource), (now() - since) / 1000)
        )
      }),
    watchStarted: (resource) => Metric.update(watchStarts(resource), 1),
    watchEnded: (resource, end) => Metric.update(watchEnds(resource)(end), 1),
    decodeError: (resource) => Metric.update(decodeErrors(resource), 1),
    skipped: (resource) => Metric.update(skipped(resource), 1),
    bookmark: (resource) =>
      Effect.sync(() => {
        state[resource].bookmarkAt = now()
      })
  }
})
