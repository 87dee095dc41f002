/**
 * Judges a client's certificate by certificate authorities and revocation lists, as OpenSSL does at the handshake: for
 * the connections that are open, and the TLS sessions that are resumed, when those change.
 *
 * It only ever narrows OpenSSL's verdict, and leaves to it what cannot change with the files: the purpose of the
 * certificate, path lengths, name constraints.
 */
import { Result } from "effect"
import type { X509Certificate } from "node:crypto"
import type { RevocationList } from "./RevocationList.ts"

/** A verdict in favour of a certificate. */
export interface Trusted {
  /** The first moment at which it holds no longer, in milliseconds since the epoch: a certificate or a list expires. */
  readonly until: number
  /** The authorities between the certificate and the one that is trusted for itself. */
  readonly intermediates: ReadonlyArray<X509Certificate>
}

/** What client certificates are judged by. A change of the files makes another one. */
export interface ClientTrust {
  /**
   * Whether `certificate` is to be trusted at `now` (milliseconds since the epoch), with the help of the `intermediates`
   * that came with it; `undefined` if not.
   */
  readonly judge: (
    certificate: X509Certificate,
    intermediates: ReadonlyArray<X509Certificate>,
    now: number
  ) => Trusted | undefined
}

interface Authority {
  readonly certificate: X509Certificate
  /** A self-signed certificate of the file: what OpenSSL requires at the end of a chain. */
  readonly isAnchor: boolean
}

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  issuer.ca &&
  certificate.checkIssued(issuer) &&
  // Whatever a client sends as an authority must cost it no more than its identity.
  Result.getOrElse(
    Result.try(() => certificate.verify(issuer.publicKey)),
    () => false
  )

const validAt = (certificate: X509Certificate, now: number): boolean =>
  certificate.validFromDate.getTime() <= now && now < certificate.validToDate.getTime()

/** The newest of each scope: an authority's earlier list says no more than its later one. */
export const newest = (lists: ReadonlyArray<RevocationList>): ReadonlyArray<RevocationList> => {
  const byScope = new Map<string, RevocationList>()
  for (const list of lists) {
    const other = byScope.get(list.scope)
    if (other === undefined || other.thisUpdate < list.thisUpdate) byScope.set(list.scope, list)
  }
  return [...byScope.values()]
}

/** The trust that comes of a file of authorities and, where there is one, a file of revocation lists. */
export const make = (
  authorities: ReadonlyArray<X509Certificate>,
  lists: ReadonlyArray<RevocationList> | undefined
): ClientTrust => {
  const own = authorities.map((certificate) => ({ certificate, isAnchor: certificate.checkIssued(certificate) }))
  const listsOf = new Map<string, ReadonlyArray<RevocationList>>()

  const listsBy = (issuer: X509Certificate, all: ReadonlyArray<RevocationList>) => {
    const known = listsOf.get(issuer.fingerprint256)
    if (known !== undefined) return known
    const found = newest(all.filter((list) => list.isSignedBy(issuer.publicKey)))
    listsOf.set(issuer.fingerprint256, found)
    return found
  }

  /** Until when the issuer's lists let the certificate pass; `undefined`: revoked, or no list of now tells. */
  const unrevokedUntil = (certificate: X509Certificate, issuer: X509Certificate, now: number): number | undefined => {
    if (lists === undefined) return Number.POSITIVE_INFINITY
    const found = listsBy(issuer, lists)
    if (found.some((list) => list.revokes(certificate.serialNumber))) return undefined
    const current = found.filter((list) => list.thisUpdate <= now && now < list.nextUpdate)
    return current.length === 0 ? undefined : Math.min(...current.map(({ nextUpdate }) => nextUpdate))
  }

  const anchored = (anchor: Authority, now: number): Trusted | undefined =>
    validAt(anchor.certificate, now)
      ? { until: anchor.certificate.validToDate.getTime(), intermediates: [] }
      : undefined

  const follow = (
    certificate: X509Certificate,
    candidates: ReadonlyArray<Authority>,
    now: number
  ): Trusted | undefined => {
    if (!validAt(certificate, now)) return undefined
    for (const issuer of candidates) {
      if (!isIssuedBy(certificate, issuer.certificate)) continue
      const above = issuer.isAnchor
        ? anchored(issuer, now)
        : follow(
            issuer.certificate,
            candidates.filter((other) => other !== issuer),
            now
          )
      if (above === undefined) continue
      // Only now is the issuer known to be one: before, it may be whatever the client sent.
      const unrevoked = unrevokedUntil(certificate, issuer.certificate, now)
      if (unrevoked === undefined) continue
      return {
        until: Math.min(certificate.validToDate.getTime(), unrevoked, above.until),
        intermediates: issuer.isAnchor ? [] : [issuer.certificate, ...above.intermediates]
      }
    }
    return undefined
  }

  return {
    judge: (certificate, intermediates, now) =>
      follow(certificate, [...own, ...intermediates.map((certificate) => ({ certificate, isAnchor: false }))], now)
  }
}
