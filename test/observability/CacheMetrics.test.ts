import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Metric } from "effect"
import { TestClock } from "effect/testing"
import { NamespaceName } from "../../src/contract/Names.ts"
import { PrometheusMetrics } from "effect/observability"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import * as CacheMetrics from "../../src/observability/CacheMetrics.ts"

const heard: ClusterEvent = { _tag: "Heard", resource: "deployments" }
const lost: ClusterEvent = { _tag: "Lost", resource: "deployments" }

/** The event of a watch of one namespace. */
const heardIn = (namespace: NamespaceName) => ({ ...heard, namespace })
const lostIn = (namespace: NamespaceName) => ({ ...lost, namespace })

const page = PrometheusMetrics.format()
const provided = Effect.provide(Layer.sync(Metric.MetricRegistry, () => new Map()))

describe("CacheMetrics", () => {
  it.effect("reports a resource as connected while its watch is live", () =>
    Effect.gen(function* () {
      const { applied } = yield* CacheMetrics.makeObserver
      const connected = Effect.map(page, (text) => /informer_connected\{resource="deployments"\} (.)/.exec(text)?.[1])
      assert.strictEqual(yield* connected, "0")
      applied(heard)
      assert.strictEqual(yield* connected, "1")
      applied(lost)
      assert.strictEqual(yield* connected, "0")
      assert.include(yield* page, 'informer_connected{resource="namespaces"} 0\n')
    }).pipe(provided)
  )

  it.effect("reports a resource as connected only while all of its watches are live", () =>
    Effect.gen(function* () {
      const { applied } = yield* CacheMetrics.makeObserver

      applied(heardIn(NamespaceName.make("a")))
      applied(lostIn(NamespaceName.make("b")))
      assert.include(yield* page, 'informer_connected{resource="deployments"} 0\n')
      applied(heardIn(NamespaceName.make("b")))
      assert.include(yield* page, 'informer_connected{resource="deployments"} 1\n')
    }).pipe(provided)
  )

  it.effect("counts events by type, and times one event at a time from the informer to the cache", () =>
    Effect.gen(function* () {
      const { applied, emitting } = yield* CacheMetrics.makeObserver
      emitting("deployments")
      yield* TestClock.adjust("20 millis")
      emitting("deployments")
      applied(heard)
      applied(heard)
      const text = yield* page
      assert.include(text, 'cache_events_total{type="Heard"} 2\n')
      assert.include(text, "cache_apply_lag_seconds_sum 0.02\n")
      assert.include(text, "cache_apply_lag_seconds_count 1\n")
    }).pipe(provided)
  )
})
