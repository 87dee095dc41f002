import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import * as InformerMetrics from "../../src/observability/InformerMetrics.ts"
import { ns } from "../cache/Given.ts"

/** The gauge `informer_connected` of a resource as it is exported. */
const connected = (resource: string) =>
  Effect.map(Metric.snapshot, (metrics) =>
    metrics.flatMap((metric) =>
      metric.id === "informer_connected" && metric.attributes?.["resource"] === resource && "value" in metric.state
        ? [metric.state.value]
        : []
    )
  )

describe("InformerMetrics", () => {
  it.effect("where each namespace has a watch, connected is only while each of them is open", () =>
    Effect.gen(function* () {
      const observer = yield* InformerMetrics.make
      assert.deepStrictEqual(yield* connected("deployments"), [0])
      yield* observer.watchStarted("deployments", ns("a"))
      yield* observer.watchEnded("deployments", "forbidden", ns("b"))
      assert.deepStrictEqual(yield* connected("deployments"), [0])
      yield* observer.watchStarted("deployments", ns("b"))
      assert.deepStrictEqual(yield* connected("deployments"), [1])
      yield* observer.watchEnded("deployments", "closed", ns("a"))
      assert.deepStrictEqual(yield* connected("deployments"), [0])
      yield* observer.watchStarted("deployments", ns("a"))
      assert.deepStrictEqual(yield* connected("deployments"), [1])
      assert.deepStrictEqual(yield* connected("namespaces"), [0])
    })
  )
})
