/** Counts the connections that the service refuses or ends. */
import { Effect, Metric } from "effect"
import type { Full } from "../limits/ConnectionTable.ts"

/** Why the service ends a connection. */
export type Ending = Full | "pipelining" | "response_timeout" | "idle"

const refusedSeries = (reason: Full | "untrusted") =>
  Metric.counter("connections_refused_total", {
    description:
      "New connections closed at once. `total`, `address`, `user`: that limit was reached. `untrusted`: the address has had too many expensive handshakes of untrusted clients.",
    incremental: true,
    attributes: { reason }
  })

const evictedSeries = (reason: Ending) =>
  Metric.counter("connections_evicted_total", {
    description:
      "Connections ended by the service: to make room for a new one (in `total`, of one `address` or of one `user`), for too many pipelined requests, for a response that was not read, for being idle.",
    incremental: true,
    attributes: { reason }
  })

/** Counts an ended or a refused connection. */
export type Count = (reason: Ending | `refused_${Full | "untrusted"}`) => void

/** Counts into the registry of the effect's context. Each series begins at 0, so that alerts can tell 0 from absent. */
export const make = Effect.map(Effect.context<never>(), (services): Count => {
  const series = {
    refused_total: refusedSeries("total"),
    refused_address: refusedSeries("address"),
    refused_untrusted: refusedSeries("untrusted"),
    refused_user: refusedSeries("user"),
    total: evictedSeries("total"),
    address: evictedSeries("address"),
    user: evictedSeries("user"),
    pipelining: evictedSeries("pipelining"),
    response_timeout: evictedSeries("response_timeout"),
    idle: evictedSeries("idle")
  }
  for (const one of Object.values(series)) one.updateUnsafe(0, services)
  return (reason) => series[reason].updateUnsafe(1, services)
})
