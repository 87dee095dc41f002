import { Clock, Duration, Effect, FileSystem, Option } from "effect"
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto"
import { createSecureContext } from "node:tls"
import { SettingError } from "../domain/SettingError.ts"

/** The files and choices that TLS is made from; the words are those of the settings. */
export interface TlsSettings {
  readonly tlsCertFile: string | undefined
  readonly tlsKeyFile: string | undefined
  readonly tlsClientCaFile: string | undefined
  readonly tlsCrlFile: string | undefined
  readonly tlsClientAuth: "optional" | "require"
  readonly tlsCiphers: string
}

/** What the HTTPS server is created with: PEM texts, checked against each other. */
export interface TlsMaterial {
  readonly cert: string
  readonly key: string
  readonly ca: string
  readonly crl: string | undefined
  readonly ciphers: string
  readonly requireClientCertificate: boolean
  /** When the server's certificate expires, in milliseconds since the epoch. */
  readonly expiresAt: number
}

const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

const refuse = (setting: string, value: string | undefined, problem: string, fix: string) =>
  Effect.fail(new SettingError({ setting, value, problem, fix }))

const readPem = Effect.fnUntraced(function* (setting: string, path: string | undefined) {
  if (path === undefined) {
    return yield* refuse(
      setting,
      undefined,
      "a PEM file is needed",
      "Name one; `make certs` makes a set for development."
    )
  }
  const fileSystem = yield* FileSystem.FileSystem
  return yield* fileSystem
    .readFileString(path)
    .pipe(
      Effect.catch((error) =>
        refuse(
          setting,
          path,
          error.reason._tag === "NotFound" ? "there is no such file" : `the file cannot be read (${error.reason._tag})`,
          "Name a file that this process may read; `make certs` makes a set for development."
        )
      )
    )
})

const parse = <A>(setting: string, path: string | undefined, what: string, evaluate: () => A) =>
  Effect.try({
    try: evaluate,
    // The parser's own words may quote the file, and a key is a secret: they are left out.
    catch: () =>
      new SettingError({
        setting,
        value: path,
        problem: `the file holds no ${what}`,
        fix: "It must be in PEM form, without a password."
      })
  })

const certificates = (setting: string, path: string | undefined, pem: string) =>
  Effect.flatMap(
    parse(setting, path, "certificate", () => (pem.match(pemBlock) ?? []).map((block) => new X509Certificate(block))),
    ([first, ...rest]) =>
      first === undefined
        ? refuse(setting, path, "the file holds no certificate", "It must be in PEM form.")
        : Effect.succeed([first, ...rest] as const)
  )

const expired = (certificate: X509Certificate, now: number) =>
  certificate.validToDate.getTime() <= now
    ? Option.some(`the certificate expired on ${certificate.validTo}`)
    : certificate.validFromDate.getTime() > now
      ? Option.some(`the certificate is not valid before ${certificate.validFrom}`)
      : Option.none()

/**
 * Reads the TLS files and checks them: that each is there and holds what it should, that the key is the certificate's,
 * that the certificate has not expired and that the client CA is a CA. Fails with a `SettingError` that names the
 * setting, the file and the fix. No part of a file ever appears in an error.
 */
export const load = Effect.fnUntraced(function* (settings: TlsSettings) {
  const now = yield* Clock.currentTimeMillis
  const cert = yield* readPem("TLS_CERT_FILE", settings.tlsCertFile)
  const key = yield* readPem("TLS_KEY_FILE", settings.tlsKeyFile)
  const ca = yield* readPem("TLS_CLIENT_CA_FILE", settings.tlsClientCaFile)
  const crl = settings.tlsCrlFile === undefined ? undefined : yield* readPem("TLS_CRL_FILE", settings.tlsCrlFile)

  const [leaf] = yield* certificates("TLS_CERT_FILE", settings.tlsCertFile, cert)
  const stale = expired(leaf, now)
  if (Option.isSome(stale)) {
    return yield* refuse(
      "TLS_CERT_FILE",
      settings.tlsCertFile,
      stale.value,
      "Renew it; `make certs` makes a new development set."
    )
  }
  const privateKey: KeyObject = yield* parse("TLS_KEY_FILE", settings.tlsKeyFile, "private key", () =>
    createPrivateKey(key)
  )
  if (!leaf.checkPrivateKey(privateKey)) {
    return yield* refuse(
      "TLS_KEY_FILE",
      settings.tlsKeyFile,
      `the key does not belong to the certificate in TLS_CERT_FILE=${settings.tlsCertFile}`,
      "Name the key that the certificate was made with."
    )
  }
  for (const authority of yield* certificates("TLS_CLIENT_CA_FILE", settings.tlsClientCaFile, ca)) {
    if (!authority.ca) {
      return yield* refuse(
        "TLS_CLIENT_CA_FILE",
        settings.tlsClientCaFile,
        "the file holds a certificate that is no certificate authority",
        "Name the CA's own certificate (basicConstraints CA:TRUE), not one that it signed."
      )
    }
    const gone = expired(authority, now)
    if (Option.isSome(gone)) {
      return yield* refuse(
        "TLS_CLIENT_CA_FILE",
        settings.tlsClientCaFile,
        gone.value,
        "No client could be identified: renew the CA or take the expired one out of the file."
      )
    }
  }
  // What OpenSSL itself refuses, such as a key that is too short.
  yield* parse("TLS_CERT_FILE", settings.tlsCertFile, "certificate and key that TLS can use", () =>
    createSecureContext({ cert, key, ca })
  )
  if (crl !== undefined) {
    yield* parse("TLS_CRL_FILE", settings.tlsCrlFile, "revocation list", () => createSecureContext({ ca, crl }))
  }
  return {
    cert,
    key,
    ca,
    crl,
    ciphers: settings.tlsCiphers,
    requireClientCertificate: settings.tlsClientAuth === "require",
    expiresAt: leaf.validToDate.getTime()
  } satisfies TlsMaterial
})

/** Whole days until `expiresAt`, negative once it has passed. Both in milliseconds since the epoch. */
export const daysLeft = (expiresAt: number, now: number): number =>
  Math.floor((expiresAt - now) / Duration.toMillis(Duration.days(1)))
