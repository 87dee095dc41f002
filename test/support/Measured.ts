import { assert } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { eventually } from "./Eventually.ts"

/** The value of a gauge or counter, summed over the series with these attributes; 0 if there is none. */
export const measured = (id: string, attributes: Readonly<Record<string, string>> = {}): Effect.Effect<number> =>
  Effect.map(Metric.snapshot, (series) => {
    let sum = 0
    for (const one of series) {
      if (one.id !== id || (one.type !== "Gauge" && one.type !== "Counter")) continue
      if (Object.entries(attributes).some(([name, value]) => one.attributes?.[name] !== value)) continue
      sum += "count" in one.state ? Number(one.state.count) : Number(one.state.value)
    }
    return sum
  })

/** Waits until the metric has the value `expected`. */
export const untilMeasured = (id: string, expected: number, attributes: Readonly<Record<string, string>> = {}) =>
  eventually(measured(id, attributes), (value) => assert.strictEqual(value, expected, id))

/** Waits until no connection is open and no request or write is in flight. */
export const nothingLeft = Effect.forEach(
  ["connections_open", "connection_addresses", "requests_in_flight", "cluster_writes_present"],
  (id) => untilMeasured(id, 0),
  { discard: true }
)
