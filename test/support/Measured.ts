import { Effect, Metric } from "effect"

/** The present value of a gauge or counter, over all of its series that have these attributes; 0 where there is none. */
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

/** Waits until what is measured is `expected`. */
export const untilMeasured = (
  id: string,
  expected: number,
  attributes: Readonly<Record<string, string>> = {}
): Effect.Effect<void> =>
  Effect.flatMap(measured(id, attributes), (value) =>
    value === expected ? Effect.void : Effect.andThen(Effect.sleep(10), untilMeasured(id, expected, attributes))
  )

/** Nothing is open, being answered or waiting any more. */
export const nothingLeft = Effect.forEach(
  ["connections_open", "connection_addresses", "requests_in_flight", "cluster_writes_present"],
  (id) => untilMeasured(id, 0),
  { discard: true }
)
