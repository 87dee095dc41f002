/** The settings of the conformance suite. */
import { Duration, Effect, FileSystem } from "effect"
import { SettingError } from "../settings/SettingError.ts"
import { file, limit, read, readOptional, type Setting, setting, text, url } from "../settings/Setting.ts"

/** The settings, each from the environment variable of its name. */
export const settings = {
  url: setting("E2E_URL", url, "https://localhost:8443", "The service's base URL."),
  serverName: setting(
    "E2E_SERVER_NAME",
    text,
    undefined,
    "The name to verify the server's certificate by, where the URL has another, as through a port-forward."
  ),
  caFile: setting("E2E_CA_FILE", file, undefined, "The authority that signed the server's certificate. Required."),
  certFile: setting("E2E_CERT_FILE", file, undefined, "The certificate of a client that may do everything. Required."),
  keyFile: setting("E2E_KEY_FILE", file, undefined, "The private key of that certificate. Required."),
  deniedCertFile: setting(
    "E2E_DENIED_CERT_FILE",
    file,
    undefined,
    "The certificate of a client that may do nothing; without it the rows of such a client are left out."
  ),
  deniedKeyFile: setting("E2E_DENIED_KEY_FILE", file, undefined, "The private key of that certificate."),
  patience: setting("E2E_PATIENCE", limit, "30s", "How long a change in the cluster may take to be seen."),
  kubeconfig: setting("KUBECONFIG", text, undefined, "The cluster that the service serves, as for the service itself."),
  kubeContext: setting("KUBE_CONTEXT", text, undefined, "The kubeconfig's context; its current one if not set.")
}

/** The PEM texts of a client. */
export interface ClientCertificate {
  readonly cert: string
  readonly key: string
}

/** What the suite runs against, and as whom. */
export interface Settings {
  readonly url: URL
  readonly serverName: string
  readonly ca: string
  /** A client that may do everything. */
  readonly admin: ClientCertificate
  /** A client that is identified and may do nothing; absent, its rows are left out. */
  readonly denied: ClientCertificate | undefined
  readonly kubeconfig: string | undefined
  readonly kubeContext: string | undefined
  /** How long a change may take to be seen, in milliseconds. */
  readonly patienceMillis: number
}

const optionalPem = Effect.fnUntraced(function* (self: Setting<string>) {
  const path = yield* readOptional(self)
  if (path === undefined) return undefined
  const fileSystem = yield* FileSystem.FileSystem
  return yield* Effect.mapError(
    fileSystem.readFileString(path),
    () =>
      new SettingError({
        setting: self.name,
        value: path,
        problem: "the file cannot be read",
        fix: "Name a PEM file; `make certs` makes a set for development."
      })
  )
})

const pem = Effect.fnUntraced(function* (self: Setting<string>) {
  const content = yield* optionalPem(self)
  if (content !== undefined) return content
  return yield* new SettingError({
    setting: self.name,
    value: undefined,
    problem: "it is needed",
    fix: `Set it to ${self.allowed}; \`make certs\` makes a set for development.`
  })
})

/** Reads the settings and the files that they name. */
export const load: Effect.Effect<Settings, SettingError, FileSystem.FileSystem> = Effect.gen(function* () {
  const base = new URL(yield* read(settings.url))
  const [deniedCert, deniedKey] = [
    yield* optionalPem(settings.deniedCertFile),
    yield* optionalPem(settings.deniedKeyFile)
  ]
  return {
    url: base,
    serverName: (yield* readOptional(settings.serverName)) ?? base.hostname,
    ca: yield* pem(settings.caFile),
    admin: { cert: yield* pem(settings.certFile), key: yield* pem(settings.keyFile) },
    denied: deniedCert === undefined || deniedKey === undefined ? undefined : { cert: deniedCert, key: deniedKey },
    kubeconfig: yield* readOptional(settings.kubeconfig),
    kubeContext: yield* readOptional(settings.kubeContext),
    patienceMillis: Duration.toMillis(yield* read(settings.patience))
  }
})
