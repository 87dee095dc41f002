/** The settings of the synthetic queries. */
import { Effect, Schema, SchemaTransformation } from "effect"
import type { DeploymentRef } from "../model/ReadModel.ts"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import * as Kind from "../settings/Kind.ts"
import { logging } from "../settings/ObservabilitySettings.ts"
import * as Setting from "../settings/Setting.ts"

const canary: Kind.Kind<DeploymentRef> = {
  allowed: "a namespace and a deployment, separated by /",
  codec: Schema.String.check(Schema.isPattern(/^[^/]+\/[^/]+$/)).pipe(
    Schema.decodeTo(
      Schema.Struct({ namespace: NamespaceName, name: DeploymentName }),
      SchemaTransformation.transform({
        decode: (written) => {
          const [namespace = "", name = ""] = written.split("/")
          return { namespace, name }
        },
        encode: ({ name, namespace }) => `${namespace}/${name}`
      })
    )
  )
}

/** The settings, in the order of docs/observability.md. */
export const settings = {
  url: Setting.withDefault("PROBE_URL", Kind.url, "https://localhost:8443", "Base URL of the service."),
  caFile: Setting.required(
    "PROBE_CA_FILE",
    Kind.pemFile,
    "Certificate authority that issued the server certificate. Required."
  ),
  certFile: Setting.required("PROBE_CERT_FILE", Kind.pemFile, "Client certificate of the probe. Required."),
  keyFile: Setting.required("PROBE_KEY_FILE", Kind.pemFile, "Private key of that certificate. Required."),
  canary: Setting.optional(
    "PROBE_CANARY",
    canary,
    "Deployment reserved for the probe, whose replica count it sets to 0 and 1 in turn; it does not touch one with more replicas. Unset: the probe writes nothing."
  ),
  mode: Setting.withDefault(
    "PROBE_MODE",
    Kind.oneOf("once", "loop"),
    "once",
    "`once`: run the queries once and exit, with status 0 if all succeeded; `loop`: repeat them and serve the results at `/metrics`."
  ),
  interval: Setting.withDefault("PROBE_INTERVAL", Kind.timeout, "30s", "With `loop`, the pause between two runs."),
  timeout: Setting.withDefault("PROBE_TIMEOUT", Kind.timeout, "10s", "Timeout of each step."),
  textfile: Setting.optional(
    "PROBE_TEXTFILE",
    Kind.text,
    "File to write the results to after each run, in Prometheus' text format, for node_exporter's textfile collector."
  ),
  host: Setting.withDefault("HOST", Kind.text, "0.0.0.0", "With `loop`, the address of `/metrics` (plain HTTP)."),
  metricsPort: Setting.withDefault(
    "METRICS_PORT",
    Kind.integer(0, 65_535),
    "9091",
    "With `loop`, the port of `/metrics`."
  ),
  ...logging
}

/** Reads and decodes every setting; fails with the first that cannot be used. */
export const load = Effect.all(settings)

/** The values of the settings. */
export type ProbeSettings = Readonly<Effect.Success<typeof load>>

/** The table of docs/observability.md. */
export const markdown = (): string => Setting.markdown(settings)
