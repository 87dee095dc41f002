/** Settings of logs, metrics, traces and audit events. */
import * as Kind from "./Kind.ts"
import { optional, withDefault } from "./Setting.ts"

/** The log. The probe has the same settings. */
export const logging = {
  logLevel: withDefault(
    "LOG_LEVEL",
    Kind.oneOf("trace", "debug", "info", "warn", "error"),
    "info",
    "Least severe level to log."
  ),
  logFormat: withDefault(
    "LOG_FORMAT",
    Kind.oneOf("auto", "json", "pretty"),
    "auto",
    "`auto`: `pretty` on a terminal, else `json`."
  )
}

/** Logs, metrics and traces of the service. */
export const observability = {
  ...logging,
  requestLog: withDefault(
    "REQUEST_LOG",
    Kind.oneOf("off", "errors", "sampled", "all"),
    "all",
    "Requests to log. `errors`: status 400 and above. `sampled`: those and one in `REQUEST_LOG_SAMPLE` of the rest."
  ),
  requestLogSample: withDefault(
    "REQUEST_LOG_SAMPLE",
    Kind.integer(1, 1_000_000),
    "100",
    "With `REQUEST_LOG=sampled`: one in this many requests without an error is logged."
  ),
  auditEvents: withDefault(
    "AUDIT_EVENTS",
    Kind.boolean,
    "false",
    "Also record accepted writes as Events on their deployments. Needs `create` on `events`."
  ),
  metricsPort: optional(
    "METRICS_PORT",
    Kind.integer(0, 65_535),
    "Port for `/metrics` over plain HTTP, without authorization; 0 picks a free one. Unset: only on `PORT`."
  ),
  otlpEndpoint: optional(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    Kind.url,
    "Base URL of an OpenTelemetry collector (OTLP over HTTP). Unset: no traces."
  ),
  otlpHeaders: optional("OTEL_EXPORTER_OTLP_HEADERS", Kind.headers, "Headers for the collector. Never logged."),
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
    "Fraction of new traces to keep. A caller's `traceparent` decides for its own."
  ),
  examplesDir: optional(
    "EXAMPLES_DIR",
    Kind.text,
    "Folder of development certificates: print curl lines that use them."
  )
}
