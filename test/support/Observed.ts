import { Effect, Layer, Metric } from "effect"
import { PassThrough } from "node:stream"
import * as Observability from "../../src/observability/Observability.ts"
import { eventually } from "./Eventually.ts"
import { send } from "./Https.ts"

/** The default observability settings of tests. */
export const observing: Observability.ObservabilitySettings = {
  logLevel: "info",
  logFormat: "json",
  requestLog: "all",
  requestLogSample: 100,
  otlpEndpoint: undefined,
  otlpHeaders: undefined,
  otlpProtocol: "http/json",
  otelServiceName: "kube-resource-api",
  tracesSamplerArg: 1
}

/** A metric registry of its own with all observers, which log to `stream`. */
export const observed = (
  stream: PassThrough = new PassThrough().resume(),
  settings: Partial<Observability.ObservabilitySettings> = {}
) =>
  Observability.layer({ ...observing, ...settings }, { stream, terminal: false }).pipe(
    Layer.provideMerge(Layer.sync(Metric.MetricRegistry, () => new Map()))
  )

const fetchMetrics = (port: number) => Effect.map(send(port, { client: "admin", path: "/metrics" }), ({ body }) => body)

const requestsOf = (page: string) => sum(page, "http_requests_total", 'route="/metrics"')

/** The `/metrics` page, rendered after the call: the service may have rendered the first page before it. */
export const metrics = (port: number) =>
  Effect.flatMap(fetchMetrics(port), (first) =>
    eventually(fetchMetrics(port), (page) => requestsOf(page) > requestsOf(first))
  )

/** The sum of the series with this name and all of these labels; 0 if there is none. */
export const sum = (page: string, name: string, ...labels: ReadonlyArray<string>): number =>
  page
    .split("\n")
    .filter(
      (line) =>
        (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) && labels.every((label) => line.includes(label))
    )
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" ") + 1)), 0)

/** Polls the `/metrics` page until `holds` is true for it, and returns that page. */
export const metricsWhere = (port: number, holds: (page: string) => boolean) => eventually(fetchMetrics(port), holds)
