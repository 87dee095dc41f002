import { Effect, Layer, Metric } from "effect"
import { PassThrough } from "node:stream"
import * as Observability from "../../src/observability/Observability.ts"
import { send } from "./Https.ts"

/** The settings with which tests observe, where they do not say. */
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

/** A metric registry of its own and all that observes, logging into `stream`. */
export const observed = (
  stream: PassThrough = new PassThrough().resume(),
  settings: Partial<Observability.ObservabilitySettings> = {}
) =>
  Observability.layer({ ...observing, ...settings }, { stream, terminal: false }).pipe(
    Layer.provideMerge(Layer.sync(Metric.MetricRegistry, () => new Map()))
  )

/** The page that `admin` gets. */
export const metrics = (port: number) =>
  Effect.map(send(port, { client: "admin", path: "/metrics" }), ({ body }) => body)

/** The sum of the series of that name whose labels hold all of these; 0 where there is none. */
export const sum = (page: string, name: string, ...labels: ReadonlyArray<string>): number =>
  page
    .split("\n")
    .filter(
      (line) =>
        (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) && labels.every((label) => line.includes(label))
    )
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" ") + 1)), 0)

/** Asks for the page until this is so. */
export const until = (port: number, is: (page: string) => boolean): Effect.Effect<string, Error> =>
  Effect.flatMap(metrics(port), (page) =>
    is(page) ? Effect.succeed(page) : Effect.andThen(Effect.sleep(10), until(port, is))
  )
