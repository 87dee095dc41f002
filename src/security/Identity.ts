import { Context, Layer } from "effect"
import type { HttpServerRequest } from "effect/http"
import { NodeHttpServerRequest } from "@effect/platform-node"
import { X509Certificate } from "node:crypto"
import { TLSSocket } from "node:tls"

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

const read = (socket: TLSSocket): Identity | undefined => {
  if (!socket.authorized) return undefined
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return undefined
  return fromCertificate(certificate)
}

const spiffeIds = (subjectAltName: string | undefined): ReadonlyArray<string> =>
  subjectAltName === undefined
    ? []
    : subjectAltName
        .split(", ")
        .flatMap((entry) => (entry.startsWith("URI:spiffe://") ? [entry.slice("URI:".length)] : []))

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

/**
 * Tells who sent a request, or `undefined` where the client showed no valid certificate. `now`: milliseconds since the
 * epoch, so that a certificate which expires while its connection lives ends its identity.
 */
export class ClientIdentity extends Context.Service<
  ClientIdentity,
  { readonly of: (request: HttpServerRequest.HttpServerRequest, now: number) => Identity | undefined }
>()("kube-resource-api/security/ClientIdentity") {
  /** Reads the certificate that the TLS handshake verified, once for each connection. */
  static readonly layerTls = Layer.sync(ClientIdentity, () => {
    const known = new WeakMap<TLSSocket, Identity | "none">()
    return {
      of: (request, now) => {
        const { socket } = NodeHttpServerRequest.toIncomingMessage(request)
        if (!(socket instanceof TLSSocket)) return undefined
        let identity = known.get(socket)
        if (identity === undefined) {
          identity = read(socket) ?? "none"
          known.set(socket, identity)
        }
        return identity === "none" || identity.expiresAt <= now ? undefined : identity
      }
    }
  })

  /** Everybody is `identity`; with `undefined`, nobody is anybody. For tests. */
  static readonly layerConstant = (identity: Identity | undefined) =>
    Layer.succeed(ClientIdentity, { of: () => identity })
}
