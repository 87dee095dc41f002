/**
 * Encodes lists, watches and errors in Kubernetes protobuf. A standalone object is four magic bytes and an `Unknown`. A
 * watch event is a frame: a big-endian length of four bytes and a `WatchEvent`.
 */
import { magic } from "../../kube/wire/ProtobufMessages.ts"
import { maxEventBytes } from "../../kube/wire/WatchLines.ts"
import type { StoredObject } from "../ClusterStore.ts"
import { apiVersionOf, kindOf } from "../KubeObjects.ts"
import { MessageWriter, UnknownFieldsWriter } from "./MessageWriter.ts"
import { chunkSize, type EventEncoding, type ListFrame, type ObjectEncoding } from "./ObjectEncoding.ts"
import {
  beginUnknown,
  endUnknown,
  messageTag,
  type TypeMeta,
  writeBookmark,
  writeListMeta,
  writeObject,
  writeStatus
} from "./ProtobufObjects.ts"

const typeOf = (resource: StoredObject["resource"]): TypeMeta => ({
  apiVersion: apiVersionOf(resource),
  kind: kindOf(resource)
})

const statusType: TypeMeta = { apiVersion: "v1", kind: "Status" }
const noType: TypeMeta = { apiVersion: "", kind: "" }

const lengthBytes = 4

type Write = (writer: MessageWriter) => void

const writeStandalone = (writer: MessageWriter, type: TypeMeta, write: Write): void => {
  writer.raw(magic).fields((unknown) => endUnknown(beginUnknown(unknown, type).message(2, write)))
}

/** A frame. Its length is filled in last. */
const frame = (writer: MessageWriter, writeEvent: Write): Uint8Array => {
  const bytes = writer.raw(new Uint8Array(lengthBytes)).fields(writeEvent).finish()
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, bytes.length - lengthBytes)
  return bytes
}

const writeEvent = (writer: MessageWriter, type: string, writeRaw: Write): void => {
  writer.text(1, type).message(2, (extension) => extension.nested(1, writeRaw))
}

/** Encodes each event with a new writer. */
const eventsBy = (newWriter: () => MessageWriter): EventEncoding => {
  const event = (type: string, objectType: TypeMeta, write: Write): Uint8Array =>
    frame(newWriter(), (fields) => writeEvent(fields, type, (raw) => writeStandalone(raw, objectType, write)))
  return {
    change: (type, object, bare) =>
      event(type, bare ? noType : typeOf(object.resource), (writer) => writeObject(writer, object)),
    bookmark: (resource, resourceVersion, endsInitialEvents) =>
      event("BOOKMARK", typeOf(resource), (writer) => writeBookmark(writer, resourceVersion, endsInitialEvents)),
    error: (status) => event("ERROR", statusType, (writer) => writeStatus(writer, status))
  }
}

const writeItem = (list: MessageWriter, object: StoredObject): MessageWriter =>
  list.message(2, (item) => writeObject(item, object))

/**
 * Renders each item twice. The length of the list precedes its items, and keeping all rendered items takes too much
 * memory.
 */
function* list(
  { continueToken, remainingItemCount, resource, resourceVersion }: ListFrame,
  items: ReadonlyArray<StoredObject>,
  start: number,
  end: number
): Generator<Uint8Array> {
  const writer = new MessageWriter()
  const metadata = writer
    .message(1, (meta) =>
      writeListMeta(meta, { resourceVersion: String(resourceVersion), continueToken, remainingItemCount })
    )
    .finish()
  const page = items.slice(start, end)
  const lengths = page.map((object) => writeItem(writer, object).finish().length)
  const length = lengths.reduce((sum, item) => sum + item, metadata.length)
  const { apiVersion, kind } = typeOf(resource)
  messageTag(beginUnknown(writer.raw(magic), { apiVersion, kind: `${kind}List` }), 2)
    .uint32(length)
    .raw(metadata)
  let pending = 0
  for (const [index, object] of page.entries()) {
    writeItem(writer, object)
    pending += lengths[index] ?? 0
    if (pending >= chunkSize) {
      yield writer.finish()
      pending = 0
    }
  }
  yield endUnknown(writer).finish()
}

/** The protobuf encoding. */
export const protobuf: ObjectEncoding = {
  contentType: "application/vnd.kubernetes.protobuf",
  watchContentType: "application/vnd.kubernetes.protobuf;stream=watch",
  status: (status) => {
    const writer = new MessageWriter()
    writeStandalone(writer, statusType, (message) => writeStatus(message, status))
    return writer.finish()
  },
  list,
  events: eventsBy(() => new MessageWriter()),
  eventsWithUnknownFields: eventsBy(() => new UnknownFieldsWriter()),
  malformed: {
    garbage: () => [frame(new MessageWriter(), (event) => event.raw(new Uint8Array(16).fill(0xff)))],
    oversized: () => {
      const length = new DataView(new ArrayBuffer(lengthBytes))
      length.setUint32(0, maxEventBytes + 1)
      return [new Uint8Array(length.buffer)]
    },
    wrongMagic: () => [
      frame(new MessageWriter(), (event) => writeEvent(event, "MODIFIED", (raw) => raw.raw(Buffer.from("k8s\u0001"))))
    ],
    emptyObject: (resource) => [
      frame(new MessageWriter(), (event) =>
        writeEvent(event, "ADDED", (raw) => writeStandalone(raw, typeOf(resource), () => {}))
      )
    ]
  }
}
