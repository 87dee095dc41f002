import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Metric } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { ClusterUnavailable, type Unauthorized } from "../../src/contract/Problems.ts"
import * as AuthorizationMetrics from "../../src/observability/AuthorizationMetrics.ts"
import { type Authorization, refused } from "../../src/authorization/Authorization.ts"
import { identity } from "./Requests.ts"

const access = { verb: "list", resource: "namespaces" } as const

const after = (check: Authorization["Service"]["check"]) =>
  Effect.gen(function* () {
    const counted = yield* AuthorizationMetrics.counted({
      alreadyAllows: () => false,
      requiresIfMatch: () => false,
      check
    })
    const exit = yield* Effect.exit(counted.check(identity("jane"), access))
    return { tag: exit._tag, page: yield* PrometheusMetrics.format() }
  }).pipe(Effect.provide(Layer.sync(Metric.MetricRegistry, () => new Map())))

const line = (decision: string) =>
  `authorization_decisions_total{resource="namespaces",verb="list",decision="${decision}"} 1\n`

describe("AuthorizationMetrics", () => {
  const unavailable = Effect.fail(new ClusterUnavailable({ detail: "" }))
  const denied = Effect.fail(refused(identity("jane"), access))
  const results: ReadonlyArray<readonly [string, Effect.Effect<void, ClusterUnavailable | Unauthorized>]> = [
    ["allowed", Effect.void],
    ["denied", denied],
    ["unavailable", unavailable]
  ]
  it.effect("counts decisions of alreadyAllows, but only if it allows", () =>
    Effect.gen(function* () {
      const kept = (allows: boolean) => ({
        alreadyAllows: () => allows,
        requiresIfMatch: () => false,
        check: () => Effect.void
      })
      for (const allows of [true, false]) {
        const counted = yield* AuthorizationMetrics.counted(kept(allows))
        assert.strictEqual(counted.alreadyAllows(identity("jane"), access, 0), allows)
      }
      assert.include(yield* PrometheusMetrics.format(), line("allowed"))
    }).pipe(Effect.provide(Layer.sync(Metric.MetricRegistry, () => new Map())))
  )

  for (const [decision, result] of results) {
    it.effect(`counts ${decision} and passes the decision on, whether it is immediate or not`, () =>
      Effect.gen(function* () {
        for (const check of [() => result, () => Effect.andThen(Effect.yieldNow, result)]) {
          const { page, tag } = yield* after(check)
          assert.include(page, line(decision))
          assert.strictEqual(tag, decision === "allowed" ? "Success" : "Failure")
        }
      })
    )
  }
})
