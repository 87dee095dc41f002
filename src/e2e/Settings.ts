/** The settings of the conformance suite, from environment variables. */
import { Config, Effect, FileSystem, Option, Schema } from "effect"
import { SettingError } from "../domain/SettingError.ts"

/** The PEM texts of a client. */
export interface ClientCertificate {
  readonly cert: string
  readonly key: string
}

/** What the suite runs against, and as whom. */
export interface Settings {
  readonly url: URL
  /** The name to verify the server's certificate by, where the URL has another, as through a port-forward. */
  readonly serverName: string
  readonly ca: string
  /** A client that may do everything. */
  readonly admin: ClientCertificate
  /** A client that is identified and may do nothing in the suite's namespace; absent, its rows are left out. */
  readonly denied: ClientCertificate | undefined
  readonly kubeconfig: string | undefined
  readonly kubeContext: string | undefined
  /** How long a change may take to be seen, in milliseconds. */
  readonly patienceMillis: number
}

const text = (name: string): Effect.Effect<string | undefined, SettingError> =>
  Config.option(Config.String(name)).pipe(
    Effect.map((given) => Option.getOrUndefined(Option.filter(given, (value) => value !== ""))),
    Effect.mapError(
      (error) => new SettingError({ setting: name, value: undefined, problem: error.message, fix: "Set it to a text." })
    )
  )

const required = Effect.fnUntraced(function* (name: string, fix: string) {
  const value = yield* text(name)
  if (value === undefined) return yield* new SettingError({ setting: name, value, problem: "it is needed", fix })
  return value
})

const readFile = Effect.fnUntraced(function* (setting: string, path: string) {
  const fileSystem = yield* FileSystem.FileSystem
  return yield* Effect.mapError(
    fileSystem.readFileString(path),
    () => new SettingError({ setting, value: path, problem: "the file cannot be read", fix: "Name a PEM file." })
  )
})

const pem = (setting: string, fix: string) => Effect.flatMap(required(setting, fix), (path) => readFile(setting, path))

const optionalPair = Effect.fnUntraced(function* (certificate: string, key: string) {
  const [certFile, keyFile] = [yield* text(certificate), yield* text(key)]
  return certFile === undefined || keyFile === undefined
    ? undefined
    : { cert: yield* readFile(certificate, certFile), key: yield* readFile(key, keyFile) }
})

const decodeUrl = Schema.decodeUnknownEffect(Schema.URLFromString)
const decodeSeconds = Schema.decodeUnknownEffect(
  Schema.FiniteFromString.check(Schema.isBetween({ minimum: 0.1, maximum: 600 }))
)

/** Reads the settings and the files that they name. */
export const load: Effect.Effect<Settings, SettingError, FileSystem.FileSystem> = Effect.gen(function* () {
  const written = yield* required("E2E_URL", "Set it to the service's URL, such as https://localhost:8443.")
  const url = yield* Effect.mapError(
    decodeUrl(written),
    () => new SettingError({ setting: "E2E_URL", value: written, problem: "not a URL", fix: "Begin it with https://." })
  )
  const patience = (yield* text("E2E_PATIENCE_SECONDS")) ?? "30"
  return {
    url,
    serverName: (yield* text("E2E_SERVER_NAME")) ?? url.hostname,
    ca: yield* pem("E2E_CA_FILE", "Name the CA that signed the server's certificate."),
    admin: {
      cert: yield* pem("E2E_CERT_FILE", "Name the certificate of a client that may do everything."),
      key: yield* pem("E2E_KEY_FILE", "Name that certificate's key.")
    },
    denied: yield* optionalPair("E2E_DENIED_CERT_FILE", "E2E_DENIED_KEY_FILE"),
    kubeconfig: yield* text("KUBECONFIG"),
    kubeContext: yield* text("KUBE_CONTEXT"),
    patienceMillis:
      1000 *
      (yield* Effect.mapError(
        decodeSeconds(patience),
        () =>
          new SettingError({
            setting: "E2E_PATIENCE_SECONDS",
            value: patience,
            problem: "not a number of seconds 0.1..600",
            fix: "Leave it out for 30."
          })
      ))
  }
})
