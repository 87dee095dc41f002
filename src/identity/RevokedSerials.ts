/**
 * Reads the serial numbers of a revocation list (RFC 5280, section 5.1) out of its DER bytes.
 *
 * The decoder makes objects of each revoked certificate: 25 ms for a thousand, during which no request is answered. So this
 * reads the serial numbers, and gives the decoder the list without them.
 */

const sequenceTag = 0x30
const integerTag = 0x02

interface Element {
  readonly tag: number
  /** Where it begins, where its content begins, and where both end. */
  readonly at: number
  readonly from: number
  readonly to: number
}

const malformed = () => new Error("malformed DER")

const elementAt = (der: Buffer, at: number, limit: number): Element => {
  const tag = der[at]
  const first = der[at + 1]
  if (tag === undefined || first === undefined) throw malformed()
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  if (lengthBytes > 4 || first === 0x80) throw malformed()
  const from = at + 2 + lengthBytes
  const to = from + (lengthBytes === 0 ? first : der.readUIntBE(at + 2, lengthBytes))
  if (to > limit) throw malformed()
  return { tag, at, from, to }
}

const childrenOf = (der: Buffer, { from, to }: Element): ReadonlyArray<Element> => {
  const found: Array<Element> = []
  for (let at = from; at < to;) {
    const child = elementAt(der, at, to)
    found.push(child)
    at = child.to
  }
  return found
}

const sequence = (parts: ReadonlyArray<Buffer>): Buffer => {
  const content = Buffer.concat(parts)
  const header = Buffer.alloc(6)
  header.writeUInt8(sequenceTag, 0)
  header.writeUInt8(0x84, 1)
  header.writeUInt32BE(content.length, 2)
  return Buffer.concat([header, content])
}

/** A DER integer as Node prints serial numbers, without leading zeros. */
const serialNumberOf = (integer: Buffer): string => {
  const hex = integer.toString("hex")
  return BigInt.asIntN(hex.length * 4, BigInt(`0x${hex}`))
    .toString(16)
    .toUpperCase()
}

/** A list without its revoked certificates, their serial numbers in Node's form, and the bytes that its issuer signed. */
export interface Separated {
  readonly rest: Buffer
  readonly serialNumbers: ReadonlySet<string>
  readonly signed: Buffer
}

/** Separates the revoked certificates from a list. Throws if the bytes are not DER, or an entry has no serial number. */
export const separate = (der: Buffer): Separated => {
  const list = elementAt(der, 0, der.length)
  if (list.tag !== sequenceTag || list.to !== der.length) throw malformed()
  const [content, ...after] = childrenOf(der, list)
  if (content === undefined || content.tag !== sequenceTag) throw malformed()
  const fields = childrenOf(der, content)
  // Algorithm and issuer are sequences, and come before the times.
  const firstTime = fields.findIndex(({ tag }) => tag === 0x17 || tag === 0x18)
  const entries = fields.find(({ tag }, at) => firstTime >= 0 && at > firstTime && tag === sequenceTag)
  const serialNumbers = new Set<string>()
  if (entries !== undefined) {
    for (const entry of childrenOf(der, entries)) {
      const serial = entry.tag === sequenceTag ? elementAt(der, entry.from, entry.to) : undefined
      if (serial?.tag !== integerTag || serial.to === serial.from) throw malformed()
      serialNumbers.add(serialNumberOf(der.subarray(serial.from, serial.to)))
    }
  }
  const bytes = (one: Element) => der.subarray(one.at, one.to)
  const kept = fields.filter((field) => field !== entries).map(bytes)
  return { rest: sequence([sequence(kept), ...after.map(bytes)]), serialNumbers, signed: bytes(content) }
}
