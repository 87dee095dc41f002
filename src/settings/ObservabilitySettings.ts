/** Settings of logs, metrics, traces and audit events. */
import * as Kind from "./Kind.ts"
import { optional, withDefault } from "./Setting.ts"

/** The log. The probe has the same settings. */
export const logging = {
  logLevel: withDefault(
    "LOG_LEVEL",
    Kind.oneOf("trace", "debug", "info", "warn", "error"),
    "info",
    "Lowest severity to log."
  ),
  logFormat: withDefault(
    "LOG_FORMAT",
    Kind.oneOf("auto", "json", "pretty"),
    "auto",
    "`json` lines, `pretty` for people, or `auto`: pretty on a terminal, else json."
  )
}

/** Logs, metrics and traces of the service. */
export const observability = {
  ...logging,
  requestLog: withDefault(
    "REQUEST_LOG",
    Kind.oneOf("off", "errors", "sampled", "all"),
    "all",
    "Requests to log: `errors`: those with a status of 400 or more; `sampled`: those and one in `REQUEST_LOG_SAMPLE` others. `LOG_LEVEL` applies: 500 is an error, other 5xx are warnings, the rest info."
  ),
  requestLogSample: withDefault(
    "REQUEST_LOG_SAMPLE",
    Kind.integer(1, 1_000_000),
    "100",
    "With `REQUEST_LOG=sampled`, one in how many successful requests is logged."
  ),
  auditEvents: withDefault(
    "AUDIT_EVENTS",
    Kind.boolean,
    "false",
    "Whether to record each accepted write as an Event of its deployment, for `kubectl describe`; the service account then needs `create` on `events`."
  ),
  metricsPort: optional(
    "METRICS_PORT",
    Kind.integer(0, 65_535),
    "Port of `/metrics` over plain HTTP, without authorization; 0 takes a free one. Unset: `/metrics` is served on `PORT` alone, to users that may `get metrics`."
  ),
  otlpEndpoint: optional(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    Kind.url,
    "Base URL of an OpenTelemetry collector (OTLP over HTTP) for traces. Unset: no traces."
  ),
  otlpHeaders: optional(
    "OTEL_EXPORTER_OTLP_HEADERS",
    Kind.headers,
    "Header fields to send to the collector. They may hold secrets and are never logged."
  ),
  otlpProtocol: withDefault(
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    Kind.oneOf("http/protobuf", "http/json"),
    "http/protobuf",
    "Encoding of traces."
  ),
  otelServiceName: withDefault("OTEL_SERVICE_NAME", Kind.text, "kube-resource-api", "Service name in traces."),
  tracesSamplerArg: withDefault(
    "OTEL_TRACES_SAMPLER_ARG",
    Kind.ratio,
    "1",
    "Share of the traces begun here that is kept. A caller's `traceparent` decides for its own traces."
  ),
  examplesDir: optional(
    "EXAMPLES_DIR",
    Kind.text,
    "Folder of development certificates; once ready, the service prints curl commands that use them."
  )
}
