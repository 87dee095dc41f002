/**
 * Lists and watches of realistic objects, from bytes that are encoded once. Serving an object copies the bytes and overwrites
 * name, uid, version and count, which costs little more than the copy.
 */
import { MessageWriter } from "../src/embedded/wire/MessageWriter.ts"
import { beginUnknown, endUnknown, messageTag, writeListMeta } from "../src/embedded/wire/ProtobufObjects.ts"
import type { ContentType } from "../src/kube/wire/ContentType.ts"
import { initialEventsEnd } from "../src/kube/wire/KubeCodec.ts"
import { magic } from "../src/kube/wire/ProtobufMessages.ts"
import type { WatchedResource } from "../src/model/ClusterEvent.ts"
import { deployment, type Json, type Message, namespace, write } from "./KubeMessages.ts"
import { realisticDeployment, realisticNamespace } from "./RealisticDeployment.ts"

/** Writes a frame (an item of a list or an event of a watch) at a position of a buffer. Returns where it ends. */
export type Frame = (into: Buffer, at: number) => number

/** An upper bound of the size of a frame. */
export const maxFrameBytes = 20_000

/** An object. All numbers except the count replace digits in the texts of `identity`. */
export interface EncodedObject {
  readonly namespace: number
  readonly name: number
  readonly uid: number
  readonly version: number
  readonly replicas: number
}

/** A page: its number of items, the version of the list, and the token of the next page, if any. */
export interface EncodedPage {
  readonly items: number
  readonly version: number
  readonly token: string
}

/** The frames of a resource in an encoding. */
export interface Frames {
  readonly opening: (page: EncodedPage) => Frame
  readonly item: (object: EncodedObject, isFirst: boolean) => Frame
  readonly closing: Frame
  readonly event: (type: "ADDED" | "MODIFIED", object: EncodedObject) => Frame
  /** The bookmark that ends the initial events. */
  readonly bookmark: (version: number) => Frame
}

interface Kind {
  readonly apiVersion: string
  readonly kind: string
  readonly message: Message
  readonly object: { readonly metadata: Json; readonly spec: Json; readonly status: Json }
}

const identity = {
  namespace: "load-77777",
  name: "deployment-88888",
  uid: "5b0c7e1a-7f0e-4c3f-9d2b-666666666666",
  resourceVersion: "5555555555"
}

// An int32 whose varint has five bytes.
const countMark = 2_147_483_647

const digits = { namespace: "77777", name: "88888", uid: "666666666666", version: "5555555555" }

const kinds: Readonly<Record<WatchedResource, Kind>> = {
  namespaces: {
    apiVersion: "v1",
    kind: "Namespace",
    message: namespace,
    object: realisticNamespace({ ...identity, name: identity.namespace })
  },
  deployments: {
    apiVersion: "apps/v1",
    kind: "Deployment",
    message: deployment,
    object: realisticDeployment(identity, countMark)
  }
}

const positions = (bytes: Buffer, text: string): ReadonlyArray<number> => {
  const found: Array<number> = []
  for (let at = bytes.indexOf(text); at !== -1; at = bytes.indexOf(text, at + text.length)) found.push(at)
  return found
}

const writeDigits = (into: Buffer, at: number, width: number, value: number): void => {
  let rest = value
  for (let index = at + width - 1; index >= at; index--) {
    into[index] = 48 + (rest % 10)
    rest = Math.floor(rest / 10)
  }
}

const varintMark = new MessageWriter().int32(countMark).finish()

// Pads the varint, which is legal, so that the enclosing lengths stay the same.
const writeVarint = (into: Buffer, at: number, value: number): number => {
  for (let index = 0; index < varintMark.length; index++) {
    into[at + index] = ((value >>> (7 * index)) & 0x7f) | (index < varintMark.length - 1 ? 0x80 : 0)
  }
  return at + varintMark.length
}

const writeDecimal = (into: Buffer, at: number, value: number): number => at + into.write(String(value), at, "latin1")

/** A frame whose name, uid, version and count are filled in for each object. */
const template = (contentType: ContentType, bytes: Buffer): ((object: EncodedObject) => Frame) => {
  const mark = contentType === "json" ? Buffer.from(String(countMark)) : Buffer.from(varintMark)
  const counted = bytes.indexOf(mark)
  const head = counted === -1 ? bytes : bytes.subarray(0, counted)
  const tail = counted === -1 ? bytes.subarray(bytes.length) : bytes.subarray(counted + mark.length)
  const writeCount = contentType === "json" ? writeDecimal : writeVarint
  const places = (["namespace", "name", "uid", "version"] as const).flatMap((field) =>
    positions(head, digits[field]).map((at) => ({ field, at, width: digits[field].length }))
  )
  return (object) => (into, start) => {
    const end = start + head.copy(into, start)
    for (const { at, field, width } of places) writeDigits(into, start + at, width, object[field])
    const counted = head === bytes ? end : writeCount(into, end, object.replicas)
    return counted + tail.copy(into, counted)
  }
}

const fixed = (bytes: Uint8Array): Frame => {
  const buffer = Buffer.from(bytes)
  return (into, at) => at + buffer.copy(into, at)
}

const inJson = ({ apiVersion, kind, object }: Kind): Frames => {
  const event = (type: string, value: Json) =>
    Buffer.from(
      `${JSON.stringify({ type, object: { kind, apiVersion, ...Object.fromEntries(Object.entries(value)) } })}\n`
    )
  const item = template("json", Buffer.from(`,${JSON.stringify(object)}`))
  const added = template("json", event("ADDED", object))
  const modified = template("json", event("MODIFIED", object))
  return {
    opening: ({ token, version }) => {
      const metadata = { resourceVersion: String(version), ...(token === "" ? undefined : { continue: token }) }
      const list = JSON.stringify({ kind: `${kind}List`, apiVersion, metadata, items: [] })
      return fixed(Buffer.from(list.slice(0, -"]}".length)))
    },
    item: (object, isFirst) => (into, at) => {
      const end = item(object)(into, at)
      if (isFirst) into.write(" ", at)
      return end
    },
    closing: fixed(Buffer.from("]}")),
    event: (type, object) => (type === "ADDED" ? added : modified)(object),
    bookmark: (version) => fixed(event("BOOKMARK", bookmarked(version)))
  }
}

const bookmarked = (version: number): Json => ({
  metadata: { resourceVersion: String(version), annotations: { [initialEventsEnd]: "true" } }
})

const inProtobuf = ({ apiVersion, kind, message, object }: Kind): Frames => {
  const event = (type: string, value: Json): Buffer => {
    const bytes = new MessageWriter()
      .raw(new Uint8Array(4))
      .text(1, type)
      .message(2, (extension) =>
        extension.message(1, (raw) =>
          endUnknown(
            beginUnknown(raw.raw(magic), { apiVersion, kind }).message(2, (fields) => write(fields, message, value))
          )
        )
      )
      .finish()
    const frame = Buffer.from(bytes)
    frame.writeUInt32BE(frame.length - 4)
    return frame
  }
  const itemBytes = new MessageWriter().message(2, (fields) => write(fields, message, object)).finish()
  const item = template("protobuf", Buffer.from(itemBytes))
  const added = template("protobuf", event("ADDED", object))
  const modified = template("protobuf", event("MODIFIED", object))
  return {
    opening: ({ items, token, version }) => {
      const meta = { resourceVersion: String(version), continueToken: token }
      const metadata = new MessageWriter().message(1, (fields) => writeListMeta(fields, meta)).finish()
      const list = beginUnknown(new MessageWriter().raw(magic), { apiVersion, kind: `${kind}List` })
      const length = metadata.length + items * itemBytes.length
      return fixed(messageTag(list, 2).uint32(length).raw(metadata).finish())
    },
    item,
    closing: fixed(endUnknown(new MessageWriter()).finish()),
    event: (type, object) => (type === "ADDED" ? added : modified)(object),
    bookmark: (version) => fixed(event("BOOKMARK", bookmarked(version)))
  }
}

/** The frames of a resource in an encoding. */
export const makeFrames = (resource: WatchedResource, contentType: ContentType): Frames =>
  contentType === "json" ? inJson(kinds[resource]) : inProtobuf(kinds[resource])
