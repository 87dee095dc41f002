import { Clock, Effect, Metric, type Scope } from "effect"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { InformerObserver, RelistReason, WatchEnd } from "../kube/InformerObserver.ts"
import { memoized } from "./Memoized.ts"
import * as ObservedMetric from "./ObservedMetric.ts"

const resources = ["namespaces", "deployments"] as const satisfies ReadonlyArray<WatchedResource>

const relists = memoized((resource: WatchedResource) =>
  memoized((reason: RelistReason) =>
    Metric.counter("informer_relists_total", {
      description: "Whole lists taken, by resource and reason.",
      incremental: true,
      attributes: { resource, reason }
    })
  )
)
const relistDuration = memoized((resource: WatchedResource) =>
  Metric.histogram("informer_relist_duration_seconds", {
    description: "From the moment a whole list was due to the moment it was passed on, failures and waits included.",
    boundaries: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    attributes: { resource }
  })
)
const watchStarts = memoized((resource: WatchedResource) =>
  Metric.counter("informer_watch_starts_total", {
    description: "Watches that the cluster took.",
    incremental: true,
    attributes: { resource }
  })
)
const watchEnds = memoized((resource: WatchedResource) =>
  memoized((reason: WatchEnd) =>
    Metric.counter("informer_watch_ends_total", {
      description: "Watches that ended, or were not taken, by reason.",
      incremental: true,
      attributes: { resource, reason }
    })
  )
)
const decodeErrors = memoized((resource: WatchedResource) =>
  Metric.counter("informer_decode_errors_total", {
    description: "Answers of the cluster that could not be read.",
    incremental: true,
    attributes: { resource }
  })
)

interface Watching {
  listingSince: number | undefined
  bookmarkAt: number
}

/** The observer that counts into the metric registry of the effect's context. `emitting` is left to the cache's metrics. */
export const make: Effect.Effect<Omit<InformerObserver, "emitting">, never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const state: Record<WatchedResource, Watching> = {
    namespaces: { listingSince: undefined, bookmarkAt: now() },
    deployments: { listingSince: undefined, bookmarkAt: now() }
  }
  for (const resource of resources) {
    yield* ObservedMetric.gauge(
      {
        name: "informer_bookmark_age_seconds",
        description:
          "Since the last bookmark, or since the start if there was none. A kube-apiserver sends one a minute.",
        attributes: { resource }
      },
      () => (now() - state[resource].bookmarkAt) / 1000
    )
    // An error that has not happened yet is a count of none, which an alert can tell from a metric that is not there.
    yield* Metric.update(decodeErrors(resource), 0)
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
    bookmark: (resource) =>
      Effect.sync(() => {
        state[resource].bookmarkAt = now()
      })
  }
})
