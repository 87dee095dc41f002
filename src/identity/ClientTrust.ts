/**
 * Verifies a client's certificate against certificate authorities and revocation lists, as OpenSSL does in the
 * handshake. Open connections and resumed TLS sessions are verified again when those files change; OpenSSL does not do
 * that.
 *
 * The check only narrows OpenSSL's verdict. Purpose, path lengths and name constraints, which do not change with the
 * files, are left to OpenSSL. docs/decisions/0001-client-trust.md says why this is not a new handshake instead.
 */
import { Result } from "effect"
import type { X509Certificate } from "node:crypto"
import type { RevocationList } from "./RevocationList.ts"

/** The verdict on a certificate that is trusted. */
export interface Trusted {
  /** When the verdict expires with a certificate or a list, in milliseconds since the epoch. */
  readonly until: number
  /** The authorities between the certificate and the trust anchor. */
  readonly intermediates: ReadonlyArray<X509Certificate>
}

/** Trust in client certificates. Each change of the files makes a new value. */
export interface ClientTrust {
  /**
   * Verifies `certificate` at `now` (milliseconds since the epoch), using the `intermediates` that came with it.
   * `undefined`: the certificate is not trusted.
   */
  readonly judge: (
    certificate: X509Certificate,
    intermediates: ReadonlyArray<X509Certificate>,
    now: number
  ) => Trusted | undefined
}

interface Authority {
  readonly certificate: X509Certificate
  /** Whether it is self-signed and in the file, which OpenSSL requires of the end of a chain. */
  readonly isAnchor: boolean
}

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  issuer.ca &&
  certificate.checkIssued(issuer) &&
  // A client may send anything as an authority. A key that throws must cost only this client's identity.
  Result.getOrElse(
    Result.try(() => certificate.verify(issuer.publicKey)),
    () => false
  )

const validAt = (certificate: X509Certificate, now: number): boolean =>
  certificate.validFromDate.getTime() <= now && now < certificate.validToDate.getTime()

/** The newest list of each scope, which replaces the earlier ones. */
export const newest = (lists: ReadonlyArray<RevocationList>): ReadonlyArray<RevocationList> => {
  const byScope = new Map<string, RevocationList>()
  for (const list of lists) {
    const other = byScope.get(list.scope)
    if (other === undefined || other.thisUpdate < list.thisUpdate) byScope.set(list.scope, list)
  }
  return [...byScope.values()]
}

/** Trust in the clients of some authorities. `lists` is `undefined` if revocation is not checked. */
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

  /** How long the certificate is known not to be revoked; `undefined`: revoked, or the issuer has no current list. */
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
      // Only now is the issuer trusted. Looking for its lists costs a signature check for each list.
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
