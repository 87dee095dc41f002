/**
 * Certificate revocation lists (RFC 5280, section 5). OpenSSL applies them in the handshake and Node does not parse them,
 * so they are decoded here: to check a list before it is used, to publish its expiry, and to verify open connections.
 * See docs/decisions/0001-client-trust.md.
 */
import { AsnConvert } from "@peculiar/asn1-schema"
import {
  CertificateList,
  id_ce_deltaCRLIndicator,
  id_ce_issuingDistributionPoint,
  IssuingDistributionPoint
} from "@peculiar/asn1-x509"
import { Result } from "effect"
import * as RevokedSerials from "./RevokedSerials.ts"
import { constants, type KeyObject, verify } from "node:crypto"

/** A revocation list. Times are milliseconds since the epoch; `nextUpdate` is infinite if the list names none. */
export interface RevocationList {
  readonly pem: string
  readonly thisUpdate: number
  readonly nextUpdate: number
  /** The part of the authority's certificates that it covers; empty: all. A list replaces earlier ones of its scope. */
  readonly scope: string
  /** Whether it revokes this serial number, given in the hexadecimal form of `X509Certificate`. */
  readonly revokes: (serialNumber: string) => boolean
  /** Whether this public key's authority signed it. */
  readonly isSignedBy: (authority: KeyObject) => boolean
}

/** The longest file of lists, in characters: some 150,000 revoked certificates. Decoding it delays requests. */
export const maxLength = 8_388_608

const pemBlock = /-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g

/** The lists in a PEM file, each as a PEM text. */
export const pemBlocks = (pem: string): ReadonlyArray<string> => pem.match(pemBlock) ?? []

const withoutLeadingZeros = (serialNumber: string): string => serialNumber.replace(/^(-?)0+(?=.)/, "$1")

type Signature = (signed: Buffer, authority: KeyObject, signature: Buffer) => boolean

const hashed =
  (hash: string): Signature =>
  (signed, key, signature) =>
    verify(hash, signed, key, signature)
const pure: Signature = (signed, key, signature) => verify(null, signed, key, signature)
// The algorithm's parameters name the hash. Trying the three is shorter than decoding them.
const pss: Signature = (signed, key, signature) =>
  ["sha256", "sha384", "sha512"].some((hash) =>
    verify(hash, signed, { key, padding: constants.RSA_PKCS1_PSS_PADDING }, signature)
  )

/** The verification of each signature algorithm. Others, such as those with SHA-1, are rejected. */
const signatures: ReadonlyMap<string, Signature> = new Map([
  ["1.2.840.10045.4.3.2", hashed("sha256")],
  ["1.2.840.10045.4.3.3", hashed("sha384")],
  ["1.2.840.10045.4.3.4", hashed("sha512")],
  ["1.2.840.113549.1.1.11", hashed("sha256")],
  ["1.2.840.113549.1.1.12", hashed("sha384")],
  ["1.2.840.113549.1.1.13", hashed("sha512")],
  ["1.2.840.113549.1.1.10", pss],
  ["1.3.101.112", pure],
  ["1.3.101.113", pure]
])

const unreadable = "the file holds a revocation list that cannot be read"

const parse = (der: Buffer) =>
  Result.try({
    try: () => {
      const { rest, serialNumbers, signed } = RevokedSerials.separate(der)
      return { ...AsnConvert.parse(rest, CertificateList), serialNumbers, signed }
    },
    catch: () => unreadable
  })

/** Decodes a list. The failure is the problem in words, which do not quote the list. */
export const decode = (pem: string): Result.Result<RevocationList, string> =>
  Result.gen(function* () {
    const { serialNumbers, signature, signatureAlgorithm, signed, tbsCertList } = yield* parse(
      Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64")
    )
    const extensions = tbsCertList.crlExtensions ?? []
    if (extensions.some(({ extnID }) => extnID === id_ce_deltaCRLIndicator)) {
      return yield* Result.fail("the file holds a delta revocation list; only complete ones can be used")
    }
    const partition = extensions.find(({ extnID }) => extnID === id_ce_issuingDistributionPoint)
    if (partition !== undefined) {
      const { indirectCRL } = yield* Result.try({
        try: () => AsnConvert.parse(partition.extnValue, IssuingDistributionPoint),
        catch: () => unreadable
      })
      if (indirectCRL) {
        return yield* Result.fail("the file holds a list that revokes for other authorities, which cannot be used")
      }
    }
    if (extensions.some(({ critical, extnID }) => critical && extnID !== id_ce_issuingDistributionPoint)) {
      return yield* Result.fail("the file holds a revocation list with a critical extension that is not known")
    }
    const verifySignature = signatures.get(signatureAlgorithm.algorithm)
    if (verifySignature === undefined) {
      return yield* Result.fail(
        `the file holds a revocation list whose signature algorithm (${signatureAlgorithm.algorithm}) cannot be used`
      )
    }
    return {
      pem,
      thisUpdate: tbsCertList.thisUpdate.getTime().getTime(),
      nextUpdate: tbsCertList.nextUpdate?.getTime().getTime() ?? Number.POSITIVE_INFINITY,
      scope: partition === undefined ? "" : Buffer.from(partition.extnValue.buffer).toString("hex"),
      revokes: (serialNumber) => serialNumbers.has(withoutLeadingZeros(serialNumber)),
      isSignedBy: (authority) =>
        Result.getOrElse(
          // `verify` throws if the key is of another kind than the signature.
          Result.try(() => verifySignature(signed, authority, Buffer.from(signature))),
          () => false
        )
    }
  })
