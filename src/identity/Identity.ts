import { Context, Effect, Layer } from "effect"
import { X509Certificate } from "node:crypto"
import type { Socket } from "node:net"
import { TLSSocket } from "node:tls"
import type { ClientTrust } from "./ClientTrust.ts"
import { ServerTls } from "./ServerTls.ts"

/**
 * Who a client is, read from its verified certificate exactly as Kubernetes reads X.509 client certificates: the
 * subject's CN is the user, each O a group.
 *
 * - `serialNumber`: hexadecimal; `issuer`: the issuer's distinguished name, one line.
 * - `expiresAt`: milliseconds since the epoch; past it the identity holds no longer.
 * - `spiffeIds`: the certificate's `spiffe://` URI alternative names.
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

// Node writes "TYPE:value, TYPE:value" with each value as a JSON string where it could be taken for more than one.
const alternativeName = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y

/**
 * The `spiffe://` URIs among a certificate's alternative names, in the text that Node makes of them. A URI that Node
 * had to quote is no SPIFFE ID, and neither is anything in a text that is not wholly of that form.
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

/** The identity in a certificate that has been verified already; `undefined` where it names no user. */
export const fromCertificate = (certificate: X509Certificate): Identity | undefined => {
  const subject = certificate.toLegacyObject().subject
  // Go's pkix.Name keeps the last CN it meets, and Kubernetes reads that one.
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

/** What is known of a connection, as long as the same trust holds and `until` has not come. */
interface Known {
  readonly trust: ClientTrust
  readonly until: number
  readonly identity: Identity | undefined
  readonly outdated: boolean
}

const longestChain = 10

/** The authorities that came with a certificate. */
const above = (certificate: X509Certificate): ReadonlyArray<X509Certificate> => {
  const found: Array<X509Certificate> = []
  let next = certificate.issuerCertificate
  while (next !== undefined && found.length < longestChain) {
    found.push(next)
    next = next.issuerCertificate
  }
  return found
}

// A company has few of them; the bound is there so that nothing grows without one.
const mostIntermediates = 256

/**
 * Tells who sends the requests of a connection, or `undefined` where the client showed no valid certificate.
 *
 * - `of`: `now` is milliseconds since the epoch. An identity ends with its certificate, and with the authority or the
 *   revocation list that stood for it, while its connection lives.
 * - `isOutdated`: whether the connection, whose client is not identified, had better be closed: a new handshake may tell
 *   otherwise, or refuse it.
 * - `connected`: to be told of each connection once its handshake is done.
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
   * Reads the certificate that the TLS handshake verified, once for each connection, and judges it by what clients are
   * trusted by now: then, and again whenever that changes.
   */
  static readonly layerTls = Layer.effect(
    ClientIdentity,
    Effect.map(ServerTls, (tls) => {
      const known = new WeakMap<TLSSocket, Known>()
      // A resumed session brings its certificate back, but not the authorities that came with it the first time.
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
        // What OpenSSL has refused is not looked at again here; by another trust it may think otherwise.
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

  /** Everybody is `identity`; with `undefined`, nobody is anybody. For tests. */
  static readonly layerConstant = (identity: Identity | undefined) =>
    Layer.succeed(ClientIdentity, { of: () => identity, isOutdated: () => false, connected: () => undefined })
}
