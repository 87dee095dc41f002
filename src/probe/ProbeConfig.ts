/** The settings of the synthetic queries. */
import * as LogSettings from "../settings/LogSettings.ts"
import { Effect, Schema, SchemaTransformation } from "effect"
import type { DeploymentRef } from "../model/ReadModel.ts"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { SettingError } from "../settings/SettingError.ts"
import {
  file,
  integer,
  type Kind,
  limit,
  markdownOf,
  read,
  readOptional,
  setting,
  text,
  url,
  words
} from "../settings/Setting.ts"

const canary: Kind<DeploymentRef> = {
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

/** The settings, in the order in which docs/observability.md lists them. */
export const settings = {
  url: setting("PROBE_URL", url, "https://localhost:8443", "The service's base URL."),
  caFile: setting("PROBE_CA_FILE", file, undefined, "The authority that signed the server's certificate. Required."),
  certFile: setting("PROBE_CERT_FILE", file, undefined, "The probe's client certificate. Required."),
  keyFile: setting("PROBE_KEY_FILE", file, undefined, "The private key of that certificate. Required."),
  canary: setting(
    "PROBE_CANARY",
    canary,
    undefined,
    "A deployment for the probe alone, whose replica count it sets to 0 and 1 in turn; one with more replicas is left alone. Without it nothing is written."
  ),
  mode: setting(
    "PROBE_MODE",
    words("once", "loop"),
    "once",
    "`once`: run the queries and end, with status 0 where all succeeded; `loop`: again and again, with the results at `/metrics`."
  ),
  interval: setting("PROBE_INTERVAL", limit, "30s", "In a loop, how long after a run the next one begins."),
  timeout: setting("PROBE_TIMEOUT", limit, "10s", "How long each step may take."),
  textfile: setting(
    "PROBE_TEXTFILE",
    text,
    undefined,
    "A file to write the results to after each run, in Prometheus' text format, for node_exporter's textfile collector."
  ),
  host: setting("HOST", text, "0.0.0.0", "In a loop, the address of `/metrics` (plain HTTP)."),
  metricsPort: setting("METRICS_PORT", integer(0, 65_535), "9091", "In a loop, the port of `/metrics`."),
  logLevel: LogSettings.logLevel,
  logFormat: LogSettings.logFormat
}

/** Reads and decodes every setting; fails with the first that cannot be used. */
export const load = Effect.all({
  url: read(settings.url),
  caFile: readOptional(settings.caFile),
  certFile: readOptional(settings.certFile),
  keyFile: readOptional(settings.keyFile),
  canary: readOptional(settings.canary),
  mode: read(settings.mode),
  interval: read(settings.interval),
  timeout: read(settings.timeout),
  textfile: readOptional(settings.textfile),
  host: read(settings.host),
  metricsPort: read(settings.metricsPort),
  logLevel: read(settings.logLevel),
  logFormat: read(settings.logFormat)
})

/** The decoded settings. */
export type ProbeSettings = Effect.Success<typeof load>

/** How reading them fails. */
export type ProbeSettingError = SettingError

/** The table of docs/observability.md. */
export const markdown = (): string => markdownOf(settings)
