import { Context, Effect, Layer } from "effect"
import { X509Certificate } from "node:crypto"
import type { Socket } from "node:net"
import { TLSSocket } from "node:tls"
import type { ClientTrust } from "./ClientTrust.ts"
import { ServerTls } from "./ServerTls.ts"

/**
 * A client, as its verified certificate names it. Kubernetes reads X.509 client certificates in the same way: the subject's
 * CN is the user, each O a group.
 *
 * - `serialNumber` is hexadecimal, `issuer` the issuer's distinguished name on one line.
 * - `expiresAt` is in milliseconds since the epoch.
 * - `spiffeIds` are the `spiffe://` URIs among the alternative names.
 */
export interface Identity {
  readonly user: string
  readonly groups: ReadonlyArray<string>
  readonly serialNumber: string
  readonly issuer: string
  readonly expiresAt: number
  readonly spiffeIds: ReadonlyArray<string>
}

const all = (field: string | ReadonlyArray<string> | undefined): ReadonlyArray<string> =>
  field === undefined ? [] : typeof field === "string" ? [field] : field

// Node prints "TYPE:value, TYPE:value". It quotes a value, as a JSON string, that could be read as several.
const alternativeName = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y

/**
 * The `spiffe://` URIs in Node's text of the alternative names. A URI that Node had to quote is not a SPIFFE ID. A text
 * that does not match as a whole has none.
 */
const spiffeIds = (alternativeNames: string | undefined): ReadonlyArray<string> => {
  if (alternativeNames === undefined) return []
  const found: Array<string> = []
  alternativeName.lastIndex = 0
  while (alternativeName.lastIndex < alternativeNames.length) {
    const entry = alternativeName.exec(alternativeNames)
    if (entry === null) return []
    const [, type, value = ""] = entry
    if (type === "URI" && value.startsWith("spiffe://")) found.push(value)
  }
  return found
}

/** The identity in a verified certificate; `undefined` if it names no user. */
export const fromCertificate = (certificate: X509Certificate): Identity | undefined => {
  const subject = certificate.toLegacyObject().subject
  // Go's pkix.Name, which Kubernetes uses, keeps the last CN.
  const user = all(subject.CN).at(-1)
  if (user === undefined || user === "") return undefined
  return {
    user,
    groups: all(subject.O),
    serialNumber: certificate.serialNumber,
    issuer: certificate.issuer.split("\n").join(", "),
    expiresAt: certificate.validToDate.getTime(),
    spiffeIds: spiffeIds(certificate.subjectAltName)
  }
}

/** The verdict on a connection's certificate. It holds for one trust, and until `until`. */
interface Known {
  readonly trust: ClientTrust
  readonly until: number
  readonly identity: Identity | undefined
  readonly outdated: boolean
}

const longestChain = 10

/** The authorities that the client sent with its certificate. */
const above = (certificate: X509Certificate): ReadonlyArray<X509Certificate> => {
  const found: Array<X509Certificate> = []
  let next = certificate.issuerCertificate
  while (next !== undefined && found.length < longestChain) {
    found.push(next)
    next = next.issuerCertificate
  }
  return found
}

// A company has few intermediate authorities. This only bounds the memory.
const mostIntermediates = 256

/**
 * Identifies the client of a connection.
 *
 * - `of` gives the identity at `now` (milliseconds since the epoch), or `undefined` without a valid certificate. An
 *   identity can end during a connection: when its certificate, an authority or a revocation list expires, or the trust
 *   changes.
 * - `isOutdated` says whether to close the connection of an unidentified client, because a new handshake may have
 *   another result.
 * - `connected` must be called for each connection after its handshake.
 */
export class ClientIdentity extends Context.Service<
  ClientIdentity,
  {
    readonly of: (socket: Socket, now: number) => Identity | undefined
    readonly isOutdated: (socket: Socket) => boolean
    readonly connected: (socket: TLSSocket, now: number) => void
  }
>()("kube-resource-api/identity/ClientIdentity") {
  /**
   * Identifies clients by the certificate of the TLS handshake. The certificate is verified once for each connection, and
   * again when the trust changes or the verdict expires.
   */
  static readonly layerTls = Layer.effect(
    ClientIdentity,
    Effect.map(ServerTls, (tls) => {
      const known = new WeakMap<TLSSocket, Known>()
      // A resumed session has the client's certificate, but not the authorities that the client sent with it.
      const intermediates = new Map<string, X509Certificate>()
      const remember = (certificate: X509Certificate) => {
        if (intermediates.has(certificate.fingerprint256)) return
        const oldest = intermediates.keys().next()
        if (intermediates.size >= mostIntermediates && oldest.done !== true) intermediates.delete(oldest.value)
        intermediates.set(certificate.fingerprint256, certificate)
      }

      const judge = (socket: TLSSocket, trust: ClientTrust, now: number): Known => {
        const unidentified = (outdated: boolean) => ({
          trust,
          until: Number.POSITIVE_INFINITY,
          identity: undefined,
          outdated
        })
        const certificate = socket.getPeerX509Certificate()
        if (certificate === undefined) return unidentified(false)
        const before = known.get(socket)
        // OpenSSL's rejection is final for this connection. A new handshake may have another result once the trust has
        // changed.
        if (!socket.authorized) return unidentified(before !== undefined && (before.outdated || before.trust !== trust))
        const sent = above(certificate)
        const trusted = trust.judge(certificate, sent.length === 0 ? [...intermediates.values()] : sent, now)
        if (trusted === undefined) return unidentified(true)
        trusted.intermediates.forEach(remember)
        return { trust, until: trusted.until, identity: fromCertificate(certificate), outdated: false }
      }

      const look = (socket: TLSSocket, now: number): Known => {
        const { trust } = tls.current()
        const before = known.get(socket)
        if (before !== undefined && before.trust === trust && now < before.until) return before
        const judged = judge(socket, trust, now)
        known.set(socket, judged)
        return judged
      }

      return {
        of: (socket, now) => (socket instanceof TLSSocket ? look(socket, now).identity : undefined),
        isOutdated: (socket) => socket instanceof TLSSocket && known.get(socket)?.outdated === true,
        connected: look
      }
    })
  )

  /** Identifies every client as `identity`. For tests. */
  static readonly layerConstant = (identity: Identity | undefined) =>
    Layer.succeed(ClientIdentity, { of: () => identity, isOutdated: () => false, connected: () => undefined })
}
