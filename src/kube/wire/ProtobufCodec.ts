/**
 * Decodes lists, watches and errors in Kubernetes protobuf as their bytes arrive. Buffers at most one incomplete object
 * and the last chunk.
 */
import { WireType } from "@bufbuild/protobuf/wire"
import { Result, Schema } from "effect"
import { ResourceVersion } from "../../model/ResourceVersion.ts"
import { ByteQueue } from "./ByteQueue.ts"
import {
  changeOf,
  type KubeCodec,
  type KubeListPage,
  objectOf,
  type PageReader,
  type UndecodableObject,
  type WatchEvent,
  type WatchFailure,
  type WatchReader
} from "./KubeCodec.ts"
import {
  type ListMeta,
  magic,
  MessageReader,
  numbers,
  readBookmark,
  readEventObject,
  readItem,
  readListMeta,
  reading,
  readStatus,
  readWatchEvent,
  type Span
} from "./ProtobufMessages.ts"
import type { Decoded, ResourceKind } from "./ResourceKind.ts"
import { maxEventBytes } from "./WatchLines.ts"

type Versioned = { readonly resourceVersion: ResourceVersion }

const isResourceVersion = Schema.is(ResourceVersion)

const eventOf = <A extends Versioned>(kind: ResourceKind<A>, frame: Span): Result.Result<WatchEvent<A>, WatchFailure> =>
  Result.flatMap(readWatchEvent(frame), ({ object, type }): Result.Result<WatchEvent<A>, WatchFailure> => {
    switch (type) {
      case "ADDED":
      case "MODIFIED":
      case "DELETED": {
        const { fields, malformed } = readEventObject(object, kind.resource)
        return changeOf(kind, type, fields, malformed)
      }
      case "BOOKMARK":
        return Result.flatMap(readBookmark(object), ({ endsInitialEvents, resourceVersion }) =>
          isResourceVersion(resourceVersion)
            ? Result.succeed({ _tag: "Bookmark", resourceVersion, initialEventsEnd: endsInitialEvents })
            : Result.fail("a bookmark without a version")
        )
      case "ERROR":
        return Result.flatMap(readStatus(object), Result.fail)
      default:
        return Result.fail("an event of unknown type")
    }
  })

const lengthBytes = 4

/** Reads frames: a big-endian length of four bytes, then a `WatchEvent`. */
const watch = <A extends Versioned>(kind: ResourceKind<A>): WatchReader<A> => {
  const queue = new ByteQueue()
  let length: number | undefined

  return {
    push: (chunk) => {
      queue.push(chunk)
      const complete: Array<WatchEvent<A>> = []
      for (;;) {
        if (length === undefined) {
          if (queue.length < lengthBytes) return { complete }
          const { reader, start } = queue.take(lengthBytes)
          length = new DataView(reader.buffer.buffer, reader.buffer.byteOffset + start, lengthBytes).getUint32(0)
          if (length > maxEventBytes) return { complete, failure: `an event of more than ${maxEventBytes} bytes` }
        }
        if (queue.length < length) return { complete }
        const event = eventOf(kind, queue.take(length))
        length = undefined
        if (Result.isFailure(event)) return { complete, failure: event.failure }
        complete.push(event.success)
      }
    },
    end: () =>
      length === undefined && queue.length === 0
        ? { complete: [] }
        : { complete: [], failure: "truncated in the middle of an event" }
  }
}

/** The header of a field: its tag and, if length-delimited, the length. */
interface Header {
  readonly field: number
  /** The size of the header in bytes. */
  readonly size: number
  /** The number of bytes after the header; undefined for a group, whose length is unknown. */
  readonly length: number | undefined
}

/** The longest header: two varints. A varint value counts as part of the header. */
const maxHeaderBytes = 20

/** Reads the header at the start of the span. */
const readHeader = (span: Span): Decoded<Header> =>
  reading(span, (reader) => {
    const [field, wireType] = reader.tag()
    switch (wireType) {
      case WireType.LengthDelimited:
        return { field, length: reader.uint32(), size: reader.pos - span.start }
      case WireType.Bit32:
        return { field, length: 4, size: reader.pos - span.start }
      case WireType.Bit64:
        return { field, length: 8, size: reader.pos - span.start }
      case WireType.Varint:
        reader.skip(wireType)
        return { field, length: 0, size: reader.pos - span.start }
      default:
        return { field, length: undefined, size: reader.pos - span.start }
    }
  })

/** Reads a list inside its `Unknown`. */
class ListReader<A extends Versioned> implements PageReader<A> {
  private readonly kind: ResourceKind<A>
  private readonly queue = new ByteQueue()
  private readonly items: Array<A> = []
  private readonly undecodable: Array<UndecodableObject> = []
  private readonly meta: ListMeta = { resourceVersion: undefined, continue: undefined }
  private hasMagic = false
  /** The number of bytes of the list that follow; undefined outside of the list. */
  private outstanding: number | undefined
  private hasList = false
  /** The field of the list whose value is being buffered. */
  private collecting: { readonly field: number; readonly length: number } | undefined
  /** The number of bytes to skip. */
  private skipping = 0

  constructor(kind: ResourceKind<A>) {
    this.kind = kind
  }

  push(chunk: Uint8Array): string | undefined {
    this.queue.push(chunk)
    for (;;) {
      const step = this.step()
      if (step !== "next") return step === "wait" ? undefined : step.failure
    }
  }

  end(): Decoded<KubeListPage<A>> {
    const { collecting, hasList, items, meta, outstanding, queue, skipping, undecodable } = this
    if (!hasList || (outstanding ?? 0) > 0 || collecting !== undefined || skipping > 0 || queue.length > 0) {
      return Result.fail("a truncated list")
    }
    if (!isResourceVersion(meta.resourceVersion)) return Result.fail("a list without a version")
    return Result.succeed({
      items,
      undecodable,
      resourceVersion: meta.resourceVersion,
      continue: meta.continue === "" ? undefined : meta.continue
    })
  }

  private step(): "next" | "wait" | { readonly failure: string } {
    const { collecting, queue } = this
    if (!this.hasMagic) return this.readMagic()
    if (this.skipping > 0) {
      this.skipping -= queue.skip(this.skipping)
      return this.skipping > 0 ? "wait" : "next"
    }
    if (collecting !== undefined) {
      if (queue.length < collecting.length) return "wait"
      this.collecting = undefined
      return this.take(collecting.field, queue.take(collecting.length))
    }
    if (this.outstanding === 0) this.outstanding = undefined
    if (queue.length === 0) return "wait"
    const header = readHeader(queue.peek(maxHeaderBytes))
    if (Result.isFailure(header)) return queue.length < maxHeaderBytes ? "wait" : { failure: header.failure }
    const { field, length, size } = header.success
    if (length === undefined) return { failure: "a field that is a group" }
    queue.skip(size)
    return this.outstanding === undefined
      ? this.enterOuter(field, length)
      : this.enterList(field, length, this.outstanding - size - length)
  }

  private readMagic() {
    if (this.queue.length < magic.length) return "wait"
    const { reader, start } = this.queue.take(magic.length)
    if (magic.some((byte, index) => reader.buffer[start + index] !== byte))
      return { failure: "no magic bytes of Kubernetes protobuf" }
    this.hasMagic = true
    return "next"
  }

  /** Begins a field of the `Unknown`. */
  private enterOuter(field: number, length: number) {
    if (field === numbers.unknown.raw) {
      if (this.hasList) return { failure: "a second list" }
      this.hasList = true
      this.outstanding = length
    } else if (field === numbers.unknown.contentEncoding && length > 0) {
      return { failure: "an unknown content encoding" }
    } else this.skipping = length
    return "next"
  }

  /** Begins a field of the list, after which `outstanding` bytes follow. */
  private enterList(field: number, length: number, outstanding: number) {
    if (outstanding < 0) return { failure: "a field beyond the end of the list" }
    this.outstanding = outstanding
    if (field === numbers.list.items || field === numbers.list.metadata) {
      if (length > maxEventBytes) return { failure: `an object of more than ${maxEventBytes} bytes` }
      this.collecting = { field, length }
    } else this.skipping = length
    return "next"
  }

  private take(field: number, span: Span) {
    if (field === numbers.list.metadata) {
      const read = readListMeta(span, this.meta)
      return Result.isFailure(read) ? { failure: read.failure } : "next"
    }
    const { fields, malformed } = readItem(span, this.kind.resource)
    const object = objectOf(this.kind, fields, malformed)
    if (Result.isSuccess(object)) this.items.push(object.success)
    else this.undecodable.push(object.failure)
    return "next"
  }
}

/** The protobuf encoding. */
export const protobuf: KubeCodec = {
  page: (kind) => new ListReader(kind),
  watch,
  status: (body) => readStatus({ reader: new MessageReader(body), start: 0, end: body.length })
}
