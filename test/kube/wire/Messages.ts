/** Kubernetes messages in protobuf, written field by field, so that tests can write malformed ones. */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire"

type Write = (writer: BinaryWriter) => void

/** A message with these fields. */
export const message = (...fields: ReadonlyArray<Write>): Uint8Array => {
  const writer = new BinaryWriter()
  for (const field of fields) field(writer)
  return writer.finish()
}

export const text =
  (field: number, value: string): Write =>
  (writer) =>
    writer.tag(field, WireType.LengthDelimited).string(value)

export const bytes =
  (field: number, value: Uint8Array): Write =>
  (writer) =>
    writer.tag(field, WireType.LengthDelimited).bytes(value)

export const nested = (field: number, ...fields: ReadonlyArray<Write>): Write => bytes(field, message(...fields))

export const integer =
  (field: number, value: number): Write =>
  (writer) =>
    writer.tag(field, WireType.Varint).int32(value)

export const raw =
  (value: Uint8Array): Write =>
  (writer) =>
    writer.raw(value)

/** A standalone object: `k8s\0` and an `Unknown`. */
export const standalone = (kind: string, object: Uint8Array): Uint8Array =>
  message(
    raw(Uint8Array.of(0x6b, 0x38, 0x73, 0)),
    nested(1, text(1, "apps/v1"), text(2, kind)),
    bytes(2, object),
    text(3, ""),
    text(4, "")
  )

/** A deployment of version 7. Without a count it has no `spec.replicas`. */
export const deployment = (name: string, replicas?: number, ...more: ReadonlyArray<Write>): Uint8Array =>
  message(
    nested(
      1,
      text(1, name),
      text(2, ""),
      text(3, "personal"),
      text(5, "e3b0c442-98fc-4c14-9afb-000000000000"),
      text(6, "7"),
      nested(11, text(1, "app"), text(2, name)),
      nested(17, text(1, "kubectl"), text(3, "apps/v1"))
    ),
    nested(2, ...(replicas === undefined ? [] : [integer(1, replicas)]), nested(3, text(1, "a template"))),
    nested(3, integer(2, 3)),
    ...more
  )

/** A list of version 42. */
export const list = (items: ReadonlyArray<Uint8Array>, next = ""): Uint8Array =>
  standalone(
    "DeploymentList",
    message(nested(1, text(1, ""), text(2, "42"), text(3, next)), ...items.map((item) => bytes(2, item)))
  )

/** The `WatchEvent` of a standalone object. */
export const watchEvent = (type: string, object: Uint8Array): Uint8Array =>
  message(text(1, type), nested(2, bytes(1, object)))

/** A message in a frame of a watch. */
export const frame = (event: Uint8Array): Uint8Array => {
  const framed = new Uint8Array(4 + event.length)
  new DataView(framed.buffer).setUint32(0, event.length)
  framed.set(event, 4)
  return framed
}

/** The frame of a change of a deployment. */
export const change = (type: string, object: Uint8Array): Uint8Array =>
  frame(watchEvent(type, standalone("Deployment", object)))

/** The frame of a bookmark. */
export const bookmark = (version: string, initialEventsEnd: boolean): Uint8Array =>
  change(
    "BOOKMARK",
    message(
      nested(
        1,
        text(6, version),
        ...(initialEventsEnd ? [nested(12, text(1, "k8s.io/initial-events-end"), text(2, "true"))] : [])
      )
    )
  )

/** A standalone `Status`. */
export const status = (code: number, reason: string): Uint8Array =>
  standalone(
    "Status",
    message(
      nested(1, text(2, "")),
      text(2, "Failure"),
      text(3, "too old"),
      text(4, reason),
      nested(5, nested(4, text(1, "ResourceVersionTooLarge")), integer(5, 3)),
      integer(6, code)
    )
  )

/** The bytes in chunks of these sizes, and the rest in one chunk. */
export const cutInto = (whole: Uint8Array, sizes: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  let from = 0
  for (const size of sizes) {
    chunks.push(whole.subarray(from, from + size))
    from += size
  }
  return [...chunks, whole.subarray(from)]
}
