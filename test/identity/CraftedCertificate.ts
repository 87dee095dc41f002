import { AsnConvert, OctetString } from "@peculiar/asn1-schema"
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  BasicConstraints,
  Certificate,
  Extension,
  Extensions,
  GeneralName,
  id_ce_basicConstraints,
  id_ce_subjectAltName,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version
} from "@peculiar/asn1-x509"
import { generateKeyPairSync, X509Certificate } from "node:crypto"

const attributes = { CN: "2.5.4.3", O: "2.5.4.10", OU: "2.5.4.11", emailAddress: "1.2.840.113549.1.9.1" } as const

/** An attribute of a subject: its type, and its text or ASN.1 value. */
export type Attribute = readonly [
  type: keyof typeof attributes,
  value: ConstructorParameters<typeof AttributeValue>[0] | string
]

/** An alternative name. */
export type AlternativeName = NonNullable<ConstructorParameters<typeof GeneralName>[0]>

const { publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" })
const ownKey = AsnConvert.parse(publicKey.export({ type: "spki", format: "der" }), SubjectPublicKeyInfo)
const ecdsa = new AlgorithmIdentifier({ algorithm: "1.2.840.10045.4.3.2" })

const nameOf = (subject: ReadonlyArray<Attribute>) =>
  new Name(
    subject.map(
      ([type, value]) =>
        new RelativeDistinguishedName([
          new AttributeTypeAndValue({
            type: attributes[type],
            value: new AttributeValue(typeof value === "string" ? { utf8String: value } : value)
          })
        ])
    )
  )

/**
 * A certificate with any subject and alternative names, also those that no tool writes. It is not signed: tests use it as
 * a certificate that has been verified already, or that cannot be.
 */
export const crafted = (options: {
  readonly subject: ReadonlyArray<Attribute>
  readonly alternativeNames?: ReadonlyArray<AlternativeName>
  readonly isAuthority?: boolean
  readonly notAfter?: Date
  readonly publicKey?: SubjectPublicKeyInfo
}): X509Certificate => {
  const { alternativeNames = [], isAuthority = false } = options
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: Uint8Array.of(7).buffer,
    signature: ecdsa,
    issuer: nameOf([["CN", "issuer"]]),
    validity: new Validity({ notBefore: new Date("2026-01-01"), notAfter: options.notAfter ?? new Date("2036-01-01") }),
    subject: nameOf(options.subject),
    subjectPublicKeyInfo: options.publicKey ?? ownKey,
    extensions: new Extensions([
      new Extension({
        extnID: id_ce_basicConstraints,
        critical: true,
        extnValue: new OctetString(AsnConvert.serialize(new BasicConstraints({ cA: isAuthority })))
      }),
      ...(alternativeNames.length === 0
        ? []
        : [
            new Extension({
              extnID: id_ce_subjectAltName,
              critical: false,
              extnValue: new OctetString(
                AsnConvert.serialize(new SubjectAlternativeName(alternativeNames.map((one) => new GeneralName(one))))
              )
            })
          ])
    ])
  })
  return new X509Certificate(
    Buffer.from(
      AsnConvert.serialize(
        new Certificate({ tbsCertificate, signatureAlgorithm: ecdsa, signatureValue: new ArrayBuffer(70) })
      )
    )
  )
}
