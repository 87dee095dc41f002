import { Effect, Metric, type Scope } from "effect"
import type { LoadReason, SharedCacheObserver } from "../shared/SharedCacheObserver.ts"
import * as Metrics from "./Metrics.ts"

const leaderships = Metric.counter("shared_cache_leaderships_total", {
  description: "Times that this instance became leader.",
  incremental: true
})

const loads = Metrics.memoized((reason: LoadReason) =>
  Metric.counter("shared_cache_loads_total", {
    description: "Snapshots loaded from Redis, by reason.",
    incremental: true,
    attributes: { reason }
  })
)

const loadFailures = Metric.counter("shared_cache_load_failures_total", {
  description: "Snapshots that could not be loaded from Redis because they are missing or malformed.",
  incremental: true
})

const entries = Metric.counter("shared_cache_entries_total", {
  description: "Entries read from the shared log.",
  incremental: true
})

const lag = Metric.histogram("shared_cache_lag_seconds", {
  description: "Time from the writing of an entry of the shared log to its reading, by Redis' clock.",
  boundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30]
})

/** Counts in the metric registry of the context. */
export const make: Effect.Effect<SharedCacheObserver, never, Scope.Scope> = Effect.gen(function* () {
  let leads = false
  let isConnected = false
  let isForeign = false
  let isOutOfMemory = false
  yield* Metrics.gauge(
    { name: "shared_cache_leader", description: "1 while this instance is the leader, else 0." },
    () => (leads ? 1 : 0)
  )
  yield* Metrics.gauge(
    { name: "shared_cache_connected", description: "1 while this instance reads the shared log, else 0." },
    () => (isConnected ? 1 : 0)
  )
  yield* Metrics.gauge(
    {
      name: "shared_cache_foreign",
      description: "1 while Redis holds the state of another cluster or of other namespaces, else 0."
    },
    () => (isForeign ? 1 : 0)
  )
  yield* Metrics.gauge(
    {
      name: "shared_cache_out_of_memory",
      description: "1 on the leader while Redis refuses its writes for lack of memory, else 0."
    },
    () => (isOutOfMemory ? 1 : 0)
  )
  // Alerts tell a count of 0 from a missing metric.
  yield* Metric.update(leaderships, 0)
  yield* Metric.update(loadFailures, 0)
  return {
    leading: (now) =>
      Effect.suspend(() => {
        leads = now
        return now ? Metric.update(leaderships, 1) : Effect.void
      }),
    outOfMemory: (now) =>
      Effect.sync(() => {
        isOutOfMemory = now
      }),
    connected: (now) =>
      Effect.sync(() => {
        isConnected = now
      }),
    foreign: (now) =>
      Effect.sync(() => {
        isForeign = now
      }),
    loaded: (reason) => Metric.update(loads(reason), 1),
    loadFailed: Metric.update(loadFailures, 1),
    read: (count, lagMillis) => Effect.andThen(Metric.update(entries, count), Metric.update(lag, lagMillis / 1000))
  }
})
