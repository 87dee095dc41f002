/**
 * Reads the needed fields of Kubernetes protobuf messages and skips all others. The field numbers are those of
 * `generated.proto` in k8s.io/api and k8s.io/apimachinery.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire"
import { Result } from "effect"
import type { WatchedResource } from "../../model/ClusterEvent.ts"
import { initialEventsEnd, type Status } from "./KubeCodec.ts"
import type { Decoded, ObjectFields } from "./ResourceKind.ts"

/** The magic bytes. They precede the `Unknown` of every standalone object: a response body or the object of an event. */
export const magic: Uint8Array = Uint8Array.of(0x6b, 0x38, 0x73, 0x00)

/** The numbers of the fields that are read, by message. */
export const numbers = {
  unknown: { raw: 2, contentEncoding: 3 },
  watchEvent: { type: 1, object: 2 },
  rawExtension: { raw: 1 },
  list: { metadata: 1, items: 2 },
  listMeta: { resourceVersion: 2, continue: 3 },
  object: { metadata: 1, spec: 2 },
  objectMeta: { name: 1, namespace: 3, resourceVersion: 6, annotations: 12 },
  mapEntry: { key: 1, value: 2 },
  deploymentSpec: { replicas: 1 },
  status: { message: 3, reason: 4, details: 5, code: 6 },
  statusDetails: { causes: 4, retryAfterSeconds: 5 },
  statusCause: { reason: 1 }
} as const

/** Iterates over the fields of nested messages. Throws on malformed bytes; `reading` catches that. */
export class MessageReader extends BinaryReader {
  readonly buffer: Uint8Array
  /** The current field, and the end of its message. */
  private field = 0
  private wireType: WireType = WireType.Varint
  private end = 0

  constructor(bytes: Uint8Array) {
    super(bytes)
    this.buffer = bytes
  }

  /**
   * The number of the next field of the message that ends at `end`; 0 if there is none. Read or `pass` its value before the
   * next call.
   */
  next(end: number): number {
    if (this.pos >= end) {
      if (this.pos > end) throw new RangeError("a field beyond the end of its message")
      return 0
    }
    const [field, wireType] = this.tag()
    this.field = field
    this.wireType = wireType
    this.end = end
    return field
  }

  /** Skips the value of the current field. */
  pass(): void {
    if (this.wireType === WireType.LengthDelimited) this.pos = this.message()
    else this.skip(this.wireType, this.field)
  }

  /** Moves to the start of a length-delimited value. Returns its end. */
  message(): number {
    this.expect(WireType.LengthDelimited)
    const end = this.uint32() + this.pos
    if (end > this.end) throw new RangeError("a length beyond the end of its message")
    return end
  }

  text(): string {
    this.expect(WireType.LengthDelimited)
    return this.string(true)
  }

  integer(): number {
    this.expect(WireType.Varint)
    return this.int32()
  }

  private expect(wireType: WireType): void {
    if (this.wireType !== wireType) throw new RangeError(`field ${this.field} of unexpected wire type ${this.wireType}`)
  }
}

/** A range of a reader's bytes. */
export interface Span {
  readonly reader: MessageReader
  readonly start: number
  readonly end: number
}

/** The result of `read` on the span, or the reason if it is malformed. */
export const reading = <A>({ end, reader, start }: Span, read: (reader: MessageReader, end: number) => A): Decoded<A> =>
  Result.try({
    try: () => {
      reader.pos = start
      return read(reader, end)
    },
    catch: (error) => (error instanceof Error ? error.message : String(error))
  })

/** Moves from the start of a standalone object, which ends at `end`, to the message in its `Unknown`. Returns its end. */
const unwrap = (reader: MessageReader, end: number): number => {
  const { buffer, pos } = reader
  if (end - pos < magic.length || magic.some((byte, index) => buffer[pos + index] !== byte)) {
    throw new RangeError("no magic bytes of Kubernetes protobuf")
  }
  reader.pos += magic.length
  let start = end
  let rawEnd = end
  for (let field = reader.next(end); field > 0; field = reader.next(end)) {
    switch (field) {
      case numbers.unknown.raw:
        rawEnd = reader.message()
        start = reader.pos
        reader.pos = rawEnd
        break
      case numbers.unknown.contentEncoding: {
        const encoding = reader.text()
        if (encoding !== "") throw new RangeError("an unknown content encoding")
        break
      }
      default:
        reader.pass()
    }
  }
  reader.pos = start
  return rawEnd
}

/** The fields of an object that have been read so far. */
class Fields implements ObjectFields {
  name: string | undefined
  namespace: string | undefined
  resourceVersion: string | undefined
  replicas: number | undefined
}

const readObjectMeta = (reader: MessageReader, end: number, fields: Fields): void => {
  for (let field = reader.next(end); field > 0; field = reader.next(end)) {
    switch (field) {
      case numbers.objectMeta.name:
        fields.name = reader.text()
        break
      case numbers.objectMeta.namespace:
        fields.namespace = reader.text()
        break
      case numbers.objectMeta.resourceVersion:
        fields.resourceVersion = reader.text()
        break
      default:
        reader.pass()
    }
  }
}

const readDeploymentSpec = (reader: MessageReader, end: number, fields: Fields): void => {
  for (let field = reader.next(end); field > 0; field = reader.next(end)) {
    if (field === numbers.deploymentSpec.replicas) fields.replicas = reader.integer()
    else reader.pass()
  }
}

const readFields = (reader: MessageReader, end: number, resource: WatchedResource, fields: Fields): void => {
  for (let field = reader.next(end); field > 0; field = reader.next(end)) {
    if (field === numbers.object.metadata) readObjectMeta(reader, reader.message(), fields)
    else if (field === numbers.object.spec && resource === "deployments") {
      readDeploymentSpec(reader, reader.message(), fields)
    } else reader.pass()
  }
}

/** The fields of an object. If it is malformed: the reason, and the fields before that. */
export interface ReadObject {
  readonly fields: ObjectFields
  readonly malformed: string | undefined
}

const readObject = (span: Span, resource: WatchedResource, isStandalone: boolean): ReadObject => {
  const fields = new Fields()
  const read = reading(span, (reader, end) =>
    readFields(reader, isStandalone ? unwrap(reader, end) : end, resource, fields)
  )
  return { fields, malformed: Result.isFailure(read) ? read.failure : undefined }
}

/** Reads an item of a list. */
export const readItem = (span: Span, resource: WatchedResource): ReadObject => readObject(span, resource, false)

/** Reads the object of a watch event. */
export const readEventObject = (span: Span, resource: WatchedResource): ReadObject => readObject(span, resource, true)

/** Reads a `WatchEvent`: its type and its object. */
export const readWatchEvent = (span: Span): Decoded<{ readonly type: string; readonly object: Span }> =>
  reading(span, (reader, end) => {
    let type = ""
    let object: Span = { reader, start: end, end }
    for (let field = reader.next(end); field > 0; field = reader.next(end)) {
      if (field === numbers.watchEvent.type) type = reader.text()
      else if (field === numbers.watchEvent.object) {
        const extensionEnd = reader.message()
        for (let field = reader.next(extensionEnd); field > 0; field = reader.next(extensionEnd)) {
          if (field === numbers.rawExtension.raw) {
            const rawEnd = reader.message()
            object = { reader, start: reader.pos, end: rawEnd }
            reader.pos = rawEnd
          } else reader.pass()
        }
      } else reader.pass()
    }
    return { type, object }
  })

/** The `ListMeta` of a page. */
export interface ListMeta {
  resourceVersion: string | undefined
  continue: string | undefined
}

/** Reads a `ListMeta` into `meta`. */
export const readListMeta = (span: Span, meta: ListMeta): Decoded<void> =>
  reading(span, (reader, end) => {
    for (let field = reader.next(end); field > 0; field = reader.next(end)) {
      if (field === numbers.listMeta.resourceVersion) meta.resourceVersion = reader.text()
      else if (field === numbers.listMeta.continue) meta.continue = reader.text()
      else reader.pass()
    }
  })

const readAnnotation = (reader: MessageReader, end: number): readonly [key: string, value: string] => {
  let key = ""
  let value = ""
  for (let field = reader.next(end); field > 0; field = reader.next(end)) {
    if (field === numbers.mapEntry.key) key = reader.text()
    else if (field === numbers.mapEntry.value) value = reader.text()
    else reader.pass()
  }
  return [key, value]
}

/** The fields of a bookmark's object that are read. */
export interface BookmarkObject {
  readonly resourceVersion: string
  readonly endsInitialEvents: boolean
}

/** Reads the object of a BOOKMARK event. */
export const readBookmark = (span: Span): Decoded<BookmarkObject> =>
  reading(span, (reader, spanEnd) => {
    let resourceVersion = ""
    let endsInitialEvents = false
    const end = unwrap(reader, spanEnd)
    for (let field = reader.next(end); field > 0; field = reader.next(end)) {
      if (field !== numbers.object.metadata) {
        reader.pass()
        continue
      }
      const metadataEnd = reader.message()
      for (let field = reader.next(metadataEnd); field > 0; field = reader.next(metadataEnd)) {
        if (field === numbers.objectMeta.resourceVersion) resourceVersion = reader.text()
        else if (field === numbers.objectMeta.annotations) {
          const [key, value] = readAnnotation(reader, reader.message())
          if (key === initialEventsEnd) endsInitialEvents = value === "true"
        } else reader.pass()
      }
    }
    return { resourceVersion, endsInitialEvents }
  })

/** Reads a standalone `Status`. */
export const readStatus = (span: Span): Decoded<Status> =>
  reading(span, (reader, spanEnd) => {
    let message = ""
    let reason = ""
    let code = 0
    let retryAfterSeconds = 0
    const causes: Array<{ reason: string }> = []
    const readDetails = (end: number) => {
      for (let field = reader.next(end); field > 0; field = reader.next(end)) {
        if (field === numbers.statusDetails.retryAfterSeconds) retryAfterSeconds = reader.integer()
        else if (field === numbers.statusDetails.causes) {
          const cause = { reason: "" }
          const causeEnd = reader.message()
          for (let field = reader.next(causeEnd); field > 0; field = reader.next(causeEnd)) {
            if (field === numbers.statusCause.reason) cause.reason = reader.text()
            else reader.pass()
          }
          causes.push(cause)
        } else reader.pass()
      }
    }
    const end = unwrap(reader, spanEnd)
    for (let field = reader.next(end); field > 0; field = reader.next(end)) {
      switch (field) {
        case numbers.status.message:
          message = reader.text()
          break
        case numbers.status.reason:
          reason = reader.text()
          break
        case numbers.status.code:
          code = reader.integer()
          break
        case numbers.status.details:
          readDetails(reader.message())
          break
        default:
          reader.pass()
      }
    }
    return {
      message,
      reason,
      ...(code === 0 ? undefined : { code }),
      details: { causes, ...(retryAfterSeconds === 0 ? undefined : { retryAfterSeconds }) }
    }
  })
