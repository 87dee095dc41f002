/** The settings of the conformance suite. */
import { Duration, Effect, type FileSystem } from "effect"
import * as Kind from "../settings/Kind.ts"
import { readPem } from "../settings/PemFile.ts"
import * as Setting from "../settings/Setting.ts"
import type { SettingError } from "../settings/SettingError.ts"

/** The settings. */
export const settings = {
  url: Setting.withDefault("E2E_URL", Kind.url, "https://localhost:8443", "Base URL of the service."),
  serverName: Setting.optional(
    "E2E_SERVER_NAME",
    Kind.text,
    "Name in the server certificate, if it is not the URL's, as behind a port-forward."
  ),
  caFile: Setting.required(
    "E2E_CA_FILE",
    Kind.pemFile,
    "Certificate authority that issued the server certificate. Required."
  ),
  certFile: Setting.required(
    "E2E_CERT_FILE",
    Kind.pemFile,
    "Certificate of a client that may do everything. Required."
  ),
  keyFile: Setting.required("E2E_KEY_FILE", Kind.pemFile, "Private key of that certificate. Required."),
  deniedCertFile: Setting.optional(
    "E2E_DENIED_CERT_FILE",
    Kind.pemFile,
    "Certificate of a client that may do nothing. Unset: the checks that need one are skipped."
  ),
  deniedKeyFile: Setting.optional("E2E_DENIED_KEY_FILE", Kind.pemFile, "Private key of that certificate."),
  patience: Setting.withDefault(
    "E2E_PATIENCE",
    Kind.timeout,
    "30s",
    "Time for a change of the cluster to become visible."
  ),
  kubeconfig: Setting.optional("KUBECONFIG", Kind.text, "Kubeconfig of the cluster that the service serves."),
  kubeContext: Setting.optional("KUBE_CONTEXT", Kind.text, "Kubeconfig context. Unset: the current one.")
}

/** A client certificate and its key, in PEM form. */
export interface ClientCertificate {
  readonly cert: string
  readonly key: string
}

/** The service under test, its clients and its cluster. */
export interface Settings {
  readonly url: URL
  readonly serverName: string
  readonly ca: string
  /** A client that may do everything. */
  readonly admin: ClientCertificate
  /** An identified client that may do nothing; without one its checks are skipped. */
  readonly denied: ClientCertificate | undefined
  readonly kubeconfig: string | undefined
  readonly kubeContext: string | undefined
  /** How long a change may take to become visible, in milliseconds. */
  readonly patienceMillis: number
}

/** Reads the settings and the files that they name. */
export const load: Effect.Effect<Settings, SettingError, FileSystem.FileSystem> = Effect.gen(function* () {
  const { deniedCertFile, deniedKeyFile, ...values } = yield* Effect.all(settings)
  const url = new URL(values.url)
  return {
    url,
    serverName: values.serverName ?? url.hostname,
    ca: yield* readPem(settings.caFile, values.caFile),
    admin: {
      cert: yield* readPem(settings.certFile, values.certFile),
      key: yield* readPem(settings.keyFile, values.keyFile)
    },
    denied:
      deniedCertFile === undefined || deniedKeyFile === undefined
        ? undefined
        : {
            cert: yield* readPem(settings.deniedCertFile, deniedCertFile),
            key: yield* readPem(settings.deniedKeyFile, deniedKeyFile)
          },
    kubeconfig: values.kubeconfig,
    kubeContext: values.kubeContext,
    patienceMillis: Duration.toMillis(values.patience)
  }
})
