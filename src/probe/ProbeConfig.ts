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
  caFile: Setting.required("PROBE_CA_FILE", Kind.pemFile, "CA of the server certificate. Required."),
  certFile: Setting.required("PROBE_CERT_FILE", Kind.pemFile, "The probe's client certificate. Required."),
  keyFile: Setting.required("PROBE_KEY_FILE", Kind.pemFile, "Its private key. Required."),
  canary: Setting.optional(
    "PROBE_CANARY",
    canary,
    "Deployment to set to 0 and 1 replicas in turn, unless it has more. Unset: nothing is written."
  ),
  mode: Setting.withDefault(
    "PROBE_MODE",
    Kind.oneOf("once", "loop"),
    "once",
    "`once` exits with the result, `loop` repeats and serves `/metrics`."
  ),
  interval: Setting.withDefault("PROBE_INTERVAL", Kind.timeout, "30s", "Pause between runs of a loop."),
  timeout: Setting.withDefault("PROBE_TIMEOUT", Kind.timeout, "10s", "Maximum time of a step."),
  textfile: Setting.optional(
    "PROBE_TEXTFILE",
    Kind.text,
    "File for the results of each run, in Prometheus text format, for node_exporter."
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
