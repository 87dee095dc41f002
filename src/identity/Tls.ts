import { Clock, Duration, Effect, FileSystem, Option, Result } from "effect"
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto"
import { createSecureContext, type SecureContextOptions } from "node:tls"
import { SettingError } from "../settings/SettingError.ts"
import * as ClientTrust from "./ClientTrust.ts"
import * as RevocationList from "./RevocationList.ts"

/** The files and choices that TLS is made from; the words are those of the settings. */
export interface TlsSettings {
  readonly tlsCertFile: string | undefined
  readonly tlsKeyFile: string | undefined
  readonly tlsClientCaFile: string | undefined
  readonly tlsCrlFile: string | undefined
  readonly tlsClientAuth: "optional" | "require"
  readonly tlsCiphers: string
}

/** When the first of a file's certificates, or revocation lists, expires; times are milliseconds since the epoch. */
export interface Expiry {
  readonly file: "server" | "client_ca" | "crl"
  readonly setting: string
  readonly path: string | undefined
  /** When that certificate or list began to be valid. */
  readonly since: number
  readonly expiresAt: number
}

/** What the HTTPS server is created with, checked: PEM texts, and what client certificates are judged by. */
export interface TlsMaterial {
  readonly cert: string
  readonly key: string
  readonly ca: string
  readonly lists: ReadonlyArray<RevocationList.RevocationList>
  readonly ciphers: string
  readonly requireClientCertificate: boolean
  /** When the server's certificate expires, in milliseconds since the epoch. */
  readonly expiresAt: number
  readonly expiries: ReadonlyArray<Expiry>
  readonly trust: ClientTrust.ClientTrust
}

type ContextParts = Pick<TlsMaterial, "cert" | "key" | "ca" | "lists" | "ciphers">

/**
 * What a server's secure context is made from, at the start and at every change: whatever a change leaves out, Node sets
 * to its own default, and that allows older versions of TLS.
 */
export const contextOptions = ({ ca, cert, ciphers, key, lists }: ContextParts) =>
  ({
    cert,
    key,
    ca,
    // Of one text with several lists Node reads the first alone.
    ...(lists.length === 0 ? {} : { crl: lists.map(({ pem }) => pem) }),
    ciphers,
    honorCipherOrder: true,
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3"
  }) satisfies SecureContextOptions

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
    parse(setting, path, "certificate whose key can be read", () =>
      (pem.match(pemBlock) ?? []).map((block) => {
        const certificate = new X509Certificate(block)
        // Node decodes the key when it is asked for, and throws then.
        return certificate.publicKey.type === "public" ? certificate : undefined
      })
    ).pipe(Effect.map((found) => found.filter((certificate) => certificate !== undefined))),
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

// serverAuth and anyExtendedKeyUsage.
const serverUses = new Set(["1.3.6.1.5.5.7.3.1", "2.5.29.37.0"])

/** The server's certificate and key, checked against each other. */
const loadServer = Effect.fnUntraced(function* (settings: TlsSettings, now: number) {
  const cert = yield* readPem("TLS_CERT_FILE", settings.tlsCertFile)
  const key = yield* readPem("TLS_KEY_FILE", settings.tlsKeyFile)
  const chain = yield* certificates("TLS_CERT_FILE", settings.tlsCertFile, cert)
  const [leaf] = chain
  const stale = expired(leaf, now)
  if (Option.isSome(stale)) {
    return yield* refuse(
      "TLS_CERT_FILE",
      settings.tlsCertFile,
      stale.value,
      "Renew it; `make certs` makes a new development set."
    )
  }
  // Node calls the extended key usage so; without one a certificate is for every use.
  if (leaf.keyUsage !== undefined && !leaf.keyUsage.some((use) => serverUses.has(use))) {
    return yield* refuse(
      "TLS_CERT_FILE",
      settings.tlsCertFile,
      "the certificate is not for TLS servers",
      "Name one whose extended key usage has serverAuth."
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
  return { cert, key, leaf, chain }
})

/** The authorities of client certificates: each a CA, and one of them valid at least. */
const loadAuthorities = Effect.fnUntraced(function* (settings: TlsSettings, now: number) {
  const ca = yield* readPem("TLS_CLIENT_CA_FILE", settings.tlsClientCaFile)
  const authorities = yield* certificates("TLS_CLIENT_CA_FILE", settings.tlsClientCaFile, ca)
  if (authorities.some((authority) => !authority.ca)) {
    return yield* refuse(
      "TLS_CLIENT_CA_FILE",
      settings.tlsClientCaFile,
      "the file holds a certificate that is no certificate authority",
      "Name the CA's own certificate (basicConstraints CA:TRUE), not one that it signed."
    )
  }
  const gone = expired(authorities[0], now)
  // Beside a valid one an expired one does no harm, and must not keep a renewed server certificate from being used.
  if (Option.isSome(gone) && authorities.every((authority) => Option.isSome(expired(authority, now)))) {
    return yield* refuse(
      "TLS_CLIENT_CA_FILE",
      settings.tlsClientCaFile,
      gone.value,
      "No client could be identified: renew the CA."
    )
  }
  return { ca, authorities }
})

const listFix = "It must hold complete revocation lists (CRLs) of the authorities in TLS_CLIENT_CA_FILE, in PEM form."

/** The revocation lists that count: of each authority its newest, and those of authorities that only clients may know. */
const loadLists = Effect.fnUntraced(function* (
  settings: TlsSettings,
  authorities: ReadonlyArray<X509Certificate>,
  known: ReadonlyArray<RevocationList.RevocationList>
) {
  const path = settings.tlsCrlFile
  if (path === undefined) return []
  const lists: Array<RevocationList.RevocationList> = []
  for (const pem of RevocationList.pemBlocks(yield* readPem("TLS_CRL_FILE", path))) {
    // A list of many certificates takes long to decode, and most changes leave it as it was.
    const same = known.find((list) => list.pem === pem)
    const decoded = same === undefined ? RevocationList.decode(pem) : Result.succeed(same)
    if (Result.isFailure(decoded)) return yield* refuse("TLS_CRL_FILE", path, decoded.failure, listFix)
    lists.push(decoded.success)
  }
  if (lists.length === 0) return yield* refuse("TLS_CRL_FILE", path, "the file holds no revocation list", listFix)
  const signed = authorities.map(({ publicKey }) => lists.filter((list) => list.isSignedBy(publicKey)))
  if (signed.every((own) => own.length === 0)) {
    return yield* refuse("TLS_CRL_FILE", path, "no authority in TLS_CLIENT_CA_FILE signed a list in it", listFix)
  }
  const unlisted = signed.flatMap((own, at) => (own.length === 0 ? [at + 1] : []))
  if (unlisted.length > 0) {
    yield* Effect.logWarning(
      `TLS_CRL_FILE=${path}: no list of some authorities in TLS_CLIENT_CA_FILE; none of their clients is identified`
    ).pipe(Effect.annotateLogs({ authorities: unlisted }))
  }
  const foreign = lists.filter((list) => signed.every((own) => !own.includes(list)))
  if (foreign.length > 0) {
    yield* Effect.logWarning(
      `TLS_CRL_FILE=${path}: some lists are signed by no authority in TLS_CLIENT_CA_FILE; they count for intermediate authorities that clients send, if for any`
    ).pipe(Effect.annotateLogs({ lists: foreign.length }))
  }
  return [...new Set([...signed.flatMap(ClientTrust.newest), ...foreign])]
})

const sameItems = <A>(a: ReadonlyArray<A>, b: ReadonlyArray<A>): boolean =>
  a.length === b.length && a.every((item, at) => item === b[at])

/** The first to expire; nothing where none ever does. */
const firstExpiry = (
  of: Pick<Expiry, "file" | "setting" | "path">,
  spans: ReadonlyArray<readonly [since: number, expiresAt: number]>
): ReadonlyArray<Expiry> => {
  const [first] = [...spans].sort(([, a], [, b]) => a - b)
  return first === undefined || first[1] === Number.POSITIVE_INFINITY
    ? []
    : [{ ...of, since: first[0], expiresAt: first[1] }]
}

const span = ({ validFromDate, validToDate }: X509Certificate) =>
  [validFromDate.getTime(), validToDate.getTime()] as const

/**
 * Reads the TLS files and checks them: that each is there and holds what it should, that the key is the certificate's,
 * that the certificate is for servers and has not expired, that the client CAs are CAs and signed the revocation lists.
 * What has not changed since `previous` is taken over from it, the same `trust` above all. Fails with a `SettingError`
 * that names the setting, the file and the fix. No part of a file ever appears in an error or in the log.
 */
export const load = Effect.fnUntraced(function* (settings: TlsSettings, previous?: TlsMaterial) {
  const now = yield* Clock.currentTimeMillis
  const { cert, chain, key, leaf } = yield* loadServer(settings, now)
  const { authorities, ca } = yield* loadAuthorities(settings, now)
  const lists = yield* loadLists(settings, authorities, previous?.lists ?? [])
  const parts: ContextParts = { cert, key, ca, lists, ciphers: settings.tlsCiphers }
  // What OpenSSL itself refuses, such as a key that is too short.
  yield* parse("TLS_CERT_FILE", settings.tlsCertFile, "certificate and key that TLS can use", () =>
    createSecureContext(contextOptions({ ...parts, lists: [] }))
  )
  yield* parse("TLS_CRL_FILE", settings.tlsCrlFile, "revocation list that TLS can use", () =>
    createSecureContext(contextOptions(parts))
  )
  return {
    ...parts,
    requireClientCertificate: settings.tlsClientAuth === "require",
    expiresAt: leaf.validToDate.getTime(),
    expiries: [
      ...firstExpiry({ file: "server", setting: "TLS_CERT_FILE", path: settings.tlsCertFile }, chain.map(span)),
      ...firstExpiry(
        { file: "client_ca", setting: "TLS_CLIENT_CA_FILE", path: settings.tlsClientCaFile },
        authorities.map(span)
      ),
      ...firstExpiry(
        { file: "crl", setting: "TLS_CRL_FILE", path: settings.tlsCrlFile },
        lists.map(({ nextUpdate, thisUpdate }) => [thisUpdate, nextUpdate])
      )
    ],
    trust:
      previous?.ca === ca && sameItems(previous.lists, lists)
        ? previous.trust
        : ClientTrust.make(authorities, settings.tlsCrlFile === undefined ? undefined : lists)
  } satisfies TlsMaterial
})

/** Whole days until `expiresAt`, negative once it has passed. Both in milliseconds since the epoch. */
export const daysLeft = (expiresAt: number, now: number): number =>
  Math.floor((expiresAt - now) / Duration.toMillis(Duration.days(1)))
