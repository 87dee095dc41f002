/**
 * A client certificate with a chain that no authority has signed, made to cost the server as much as possible: as many
 * intermediates as fit into OpenSSL's limit of 100 kB, each with an RSA key of 3,072 bits and a public exponent of the
 * same size. OpenSSL limits the exponent to 64 bits only for larger keys. Signatures are random: each is computed in full
 * before it turns out to be wrong.
 */
import { generateKeyPairSync, randomBytes } from "node:crypto"

/** A chain and the key of its first certificate, in PEM form: the `cert` and `key` of a TLS client. */
export interface HostileChain {
  readonly cert: string
  readonly key: string
  readonly certificates: number
}

/** OpenSSL's default limit of a Certificate message (SSL_MAX_CERT_LIST_DEFAULT). */
const maximumMessageBytes = 100 * 1024

/** Bytes of the message beside the certificates, and beside each of them. */
const messageOverhead = 4
const entryOverhead = 5

const rsaBytes = 384

/** One DER element. */
const element = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const content = Buffer.concat(parts)
  const size = content.length
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 255]
  return Buffer.concat([Buffer.from([tag, ...length]), content])
}

const sequence = (...parts: ReadonlyArray<Uint8Array>) => element(0x30, ...parts)
const bits = (content: Uint8Array) => element(0x03, Buffer.from([0]), content)
const integer = (magnitude: Uint8Array) =>
  element(0x02, ...((magnitude[0] ?? 0) > 127 ? [Buffer.from([0])] : []), magnitude)
const oid = (hex: string) => element(0x06, Buffer.from(hex, "hex"))
const nothing = element(0x05)
const time = (text: string) => element(0x17, Buffer.from(text))

const sha256WithRsa = sequence(oid("2a864886f70d01010b"), nothing)
const rsaEncryption = sequence(oid("2a864886f70d010101"), nothing)
const validity = sequence(time("240101000000Z"), time("491231235959Z"))

const name = (commonName: string) =>
  sequence(element(0x31, sequence(oid("550403"), element(0x0c, Buffer.from(commonName)))))

/** A random odd number with its highest bits `top`. */
const odd = (top: number) => {
  const magnitude = randomBytes(rsaBytes)
  magnitude[0] = top
  magnitude[rsaBytes - 1] = (magnitude[rsaBytes - 1] ?? 0) | 1
  return magnitude
}

/** A certificate with a random signature that fits the issuer's key. */
const certificate = (subject: string, issuer: string, publicKey: Uint8Array) => {
  const signature = randomBytes(rsaBytes)
  signature[0] = 0x7f
  return sequence(
    sequence(integer(Buffer.from([1])), sha256WithRsa, name(issuer), validity, name(subject), publicKey),
    sha256WithRsa,
    bits(signature)
  )
}

const expensiveKey = () => sequence(rsaEncryption, bits(sequence(integer(odd(0xff)), integer(odd(0x3f)))))

const pemOf = (der: Buffer) =>
  `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replace(/.{64}/g, "$&\n").trimEnd()}\n-----END CERTIFICATE-----\n`

/** Makes a chain of at most `intermediates` and as many as fit. Every call makes another one. */
export const makeHostileChain = (intermediates = Infinity): HostileChain => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" })
  const chain = [certificate("hostile", "0", publicKey.export({ type: "spki", format: "der" }))]
  let size = messageOverhead + entryOverhead + (chain[0]?.length ?? 0)
  for (let at = 0; at < intermediates; at++) {
    const next = certificate(String(at), String(at + 1), expensiveKey())
    size += entryOverhead + next.length
    if (size > maximumMessageBytes) break
    chain.push(next)
  }
  return {
    cert: chain.map(pemOf).join(""),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    certificates: chain.length
  }
}
