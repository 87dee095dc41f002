/** The TLS files: reads them, and checks that they can be used together before they are. */
import { Clock, Duration, Effect, Option, Result } from "effect"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { createSecureContext, type SecureContextOptions } from "node:tls"
import { readPem } from "../settings/PemFile.ts"
import type { Setting } from "../settings/Setting.ts"
import { type Settings, settings as names } from "../settings/Settings.ts"
import * as ClientTrust from "./ClientTrust.ts"
import * as RevocationList from "./RevocationList.ts"

/** The settings of TLS. */
export type TlsSettings = Pick<
  Settings,
  "tlsCertFile" | "tlsKeyFile" | "tlsClientCaFile" | "tlsCrlFile" | "tlsClientAuth" | "tlsCiphers"
>

/** The first expiry among a file's certificates or revocation lists. Times are milliseconds since the epoch. */
export interface Expiry {
  readonly file: "server" | "client_ca" | "crl"
  /** The name of the setting that names the file. */
  readonly setting: string
  readonly path: string | undefined
  /** The start of that certificate's or list's validity. */
  readonly since: number
  readonly expiresAt: number
}

/** The material of the HTTPS server: checked PEM texts, and the trust in client certificates. */
export interface TlsMaterial {
  readonly cert: string
  readonly key: string
  readonly ca: string
  readonly lists: ReadonlyArray<RevocationList.RevocationList>
  readonly ciphers: string
  readonly requireClientCertificate: boolean
  /** The expiry of the server certificate, in milliseconds since the epoch. */
  readonly expiresAt: number
  readonly expiries: ReadonlyArray<Expiry>
  readonly trust: ClientTrust.ClientTrust
}

type ContextParts = Pick<TlsMaterial, "cert" | "key" | "ca" | "lists" | "ciphers">

/**
 * The options of the server's secure context, at the start and at every change. They are complete: Node resets an option
 * that a change leaves out to its default, and the default allows older versions of TLS.
 */
export const contextOptions = ({ ca, cert, ciphers, key, lists }: ContextParts) =>
  ({
    cert,
    key,
    ca,
    // Node reads only the first list of a text.
    ...(lists.length === 0 ? {} : { crl: lists.map(({ pem }) => pem) }),
    ciphers,
    honorCipherOrder: true,
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3"
  }) satisfies SecureContextOptions

const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** A setting that names a file, and its value. */
interface File {
  readonly setting: Setting<string | undefined>
  readonly path: string | undefined
}

const filesOf = (settings: TlsSettings) => ({
  cert: { setting: names.tlsCertFile, path: settings.tlsCertFile },
  key: { setting: names.tlsKeyFile, path: settings.tlsKeyFile },
  ca: { setting: names.tlsClientCaFile, path: settings.tlsClientCaFile },
  crl: { setting: names.tlsCrlFile, path: settings.tlsCrlFile }
})

type Files = ReturnType<typeof filesOf>

const refuse = ({ path, setting }: File, problem: string, fix: string) => Effect.fail(setting.error(path, problem, fix))

const read = ({ path, setting }: File) => readPem(setting, path)

const parse = <A>(file: File, what: string, evaluate: () => A) =>
  Effect.try({
    try: evaluate,
    // The parser's message may quote the file, which may hold a private key.
    catch: () =>
      file.setting.error(file.path, `the file holds no ${what}`, "It must be in PEM form, without a password.")
  })

const certificates = (file: File, pem: string) =>
  Effect.flatMap(
    parse(file, "certificate whose key can be read", () =>
      (pem.match(pemBlock) ?? []).map((block) => {
        const certificate = new X509Certificate(block)
        // Node decodes the key on first use, and throws then.
        return certificate.publicKey.type === "public" ? certificate : undefined
      })
    ).pipe(Effect.map((found) => found.filter((certificate) => certificate !== undefined))),
    ([first, ...rest]) =>
      first === undefined
        ? refuse(file, "the file holds no certificate", "It must be in PEM form.")
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

/** Loads the server's certificate and key, and checks that they belong together. */
const loadServer = Effect.fnUntraced(function* (files: Files, now: number) {
  const cert = yield* read(files.cert)
  const key = yield* read(files.key)
  const chain = yield* certificates(files.cert, cert)
  const [leaf] = chain
  const stale = expired(leaf, now)
  if (Option.isSome(stale)) {
    return yield* refuse(files.cert, stale.value, "Renew it; `make certs` makes a new development set.")
  }
  // Node's `keyUsage` is the extended key usage. A certificate without one is for every use.
  if (leaf.keyUsage !== undefined && !leaf.keyUsage.some((use) => serverUses.has(use))) {
    return yield* refuse(
      files.cert,
      "the certificate is not for TLS servers",
      "Name one whose extended key usage has serverAuth."
    )
  }
  const privateKey = yield* parse(files.key, "private key", () => createPrivateKey(key))
  if (!leaf.checkPrivateKey(privateKey)) {
    return yield* refuse(
      files.key,
      `the key does not belong to the certificate in ${files.cert.setting.name}=${files.cert.path}`,
      "Name the key of that certificate."
    )
  }
  return { cert, key, leaf, chain }
})

/** Loads the certificate authorities of clients. Each must be a CA, and at least one must be valid. */
const loadAuthorities = Effect.fnUntraced(function* ({ ca: file }: Files, now: number) {
  const ca = yield* read(file)
  const authorities = yield* certificates(file, ca)
  if (authorities.some((authority) => !authority.ca)) {
    return yield* refuse(
      file,
      "the file holds a certificate that is no certificate authority",
      "Name the CA's own certificate (basicConstraints CA:TRUE), not one that it signed."
    )
  }
  const gone = expired(authorities[0], now)
  // An expired authority beside a valid one does no harm, and must not block a renewed server certificate.
  if (Option.isSome(gone) && authorities.every((authority) => Option.isSome(expired(authority, now)))) {
    return yield* refuse(file, gone.value, "No client could be identified: renew the CA.")
  }
  return { ca, authorities }
})

/** Loads the revocation lists: the newest of each authority, and those of authorities that only clients may know. */
const loadLists = Effect.fnUntraced(function* (
  { ca, crl: file }: Files,
  authorities: ReadonlyArray<X509Certificate>,
  known: ReadonlyArray<RevocationList.RevocationList>
) {
  if (file.path === undefined) return []
  const refuseList = (problem: string) =>
    refuse(
      file,
      problem,
      `It must hold complete revocation lists (CRLs) of the authorities in ${ca.setting.name}, in PEM form.`
    )
  const lists: Array<RevocationList.RevocationList> = []
  const text = yield* read(file)
  if (text.length > RevocationList.maxLength) {
    return yield* refuseList(`the file is longer than ${RevocationList.maxLength / 1_048_576} MiB`)
  }
  for (const pem of RevocationList.pemBlocks(text)) {
    // Decoding a long list takes long, and most changes of the files leave it as it was.
    const same = known.find((list) => list.pem === pem)
    const decoded = same === undefined ? RevocationList.decode(pem) : Result.succeed(same)
    if (Result.isFailure(decoded)) return yield* refuseList(decoded.failure)
    lists.push(decoded.success)
  }
  if (lists.length === 0) return yield* refuseList("the file holds no revocation list")
  const signed = authorities.map(({ publicKey }) => lists.filter((list) => list.isSignedBy(publicKey)))
  if (signed.every((own) => own.length === 0)) {
    return yield* refuseList(`no authority in ${ca.setting.name} signed a list in it`)
  }
  const unlisted = signed.flatMap((own, at) => (own.length === 0 ? [at + 1] : []))
  if (unlisted.length > 0) {
    yield* Effect.logWarning(
      `${file.setting.name}=${file.path}: no list of some authorities in ${ca.setting.name}; their clients are not identified`
    ).pipe(Effect.annotateLogs({ authorities: unlisted }))
  }
  const foreign = lists.filter((list) => signed.every((own) => !own.includes(list)))
  if (foreign.length > 0) {
    yield* Effect.logWarning(
      `${file.setting.name}=${file.path}: some lists are signed by no authority in ${ca.setting.name}; they apply only to intermediate authorities that clients send`
    ).pipe(Effect.annotateLogs({ lists: foreign.length }))
  }
  return [...new Set([...signed.flatMap(ClientTrust.newest), ...foreign])]
})

const sameItems = <A>(a: ReadonlyArray<A>, b: ReadonlyArray<A>): boolean =>
  a.length === b.length && a.every((item, at) => item === b[at])

/** The first expiry; none if nothing ever expires. */
const firstExpiry = (
  file: Expiry["file"],
  { path, setting }: File,
  spans: ReadonlyArray<readonly [since: number, expiresAt: number]>
): ReadonlyArray<Expiry> => {
  const [first] = [...spans].sort(([, a], [, b]) => a - b)
  return first === undefined || first[1] === Number.POSITIVE_INFINITY
    ? []
    : [{ file, setting: setting.name, path, since: first[0], expiresAt: first[1] }]
}

const span = ({ validFromDate, validToDate }: X509Certificate) =>
  [validFromDate.getTime(), validToDate.getTime()] as const

/**
 * Reads and checks the TLS files: the key belongs to the certificate, the certificate is for servers and has not expired,
 * the client CAs are CAs and signed the revocation lists. Keeps what has not changed since `previous`, above all its
 * `trust`. Fails with a `SettingError` that names the setting, the file and the fix. Neither errors nor logs quote a file.
 */
export const load = Effect.fnUntraced(function* (settings: TlsSettings, previous?: TlsMaterial) {
  const now = yield* Clock.currentTimeMillis
  const files = filesOf(settings)
  const { cert, chain, key, leaf } = yield* loadServer(files, now)
  const { authorities, ca } = yield* loadAuthorities(files, now)
  const lists = yield* loadLists(files, authorities, previous?.lists ?? [])
  const parts: ContextParts = { cert, key, ca, lists, ciphers: settings.tlsCiphers }
  // OpenSSL has requirements of its own, such as the length of a key.
  yield* parse(files.cert, "certificate and key that TLS can use", () =>
    createSecureContext(contextOptions({ ...parts, lists: [] }))
  )
  yield* parse(files.crl, "revocation list that TLS can use", () => createSecureContext(contextOptions(parts)))
  return {
    ...parts,
    requireClientCertificate: settings.tlsClientAuth === "require",
    expiresAt: leaf.validToDate.getTime(),
    expiries: [
      ...firstExpiry("server", files.cert, chain.map(span)),
      ...firstExpiry("client_ca", files.ca, authorities.map(span)),
      ...firstExpiry(
        "crl",
        files.crl,
        lists.map(({ nextUpdate, thisUpdate }) => [thisUpdate, nextUpdate])
      )
    ],
    trust:
      previous?.ca === ca && sameItems(previous.lists, lists)
        ? previous.trust
        : ClientTrust.make(authorities, settings.tlsCrlFile === undefined ? undefined : lists)
  } satisfies TlsMaterial
})

/** Whole days until `expiresAt`, negative after it. Both are milliseconds since the epoch. */
export const daysLeft = (expiresAt: number, now: number): number =>
  Math.floor((expiresAt - now) / Duration.toMillis(Duration.days(1)))
