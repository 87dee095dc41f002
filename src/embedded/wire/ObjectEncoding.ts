/** The encoding of lists, watches and errors: JSON or Kubernetes protobuf. */
import type { WatchedResource } from "../../model/ClusterEvent.ts"
import type { ChangeType, StoredObject } from "../ClusterStore.ts"
import type { KubeStatus } from "../KubeStatus.ts"

/** A part of a response body. */
export type BodyChunk = string | Uint8Array

/** The approximate size at which a rendered chunk is sent. */
export const chunkSize = 65_536

/** `items` of an empty list in JSON: Go renders a nil slice as null, and some servers omit the field. */
export type EmptyItems = "array" | "null" | "absent"

/** A list response without its items. `emptyItems` and `bareItems` concern JSON only. */
export interface ListFrame {
  readonly resource: WatchedResource
  readonly resourceVersion: number
  readonly continueToken: string | undefined
  readonly remainingItemCount: number | undefined
  readonly emptyItems: EmptyItems
  /** Whether the items lack `kind` and `apiVersion`. In protobuf they always do. */
  readonly bareItems: boolean
}

/**
 * An event that breaks the encoding.
 *
 * - `garbage`: bytes that are not an event, with the framing of one.
 * - `oversized`: the beginning of an event that is longer than a client accepts.
 * - `wrongMagic`: an object without magic bytes; in JSON, a number instead of an object.
 * - `emptyObject`: an object without fields.
 */
export type MalformedEvent = "garbage" | "oversized" | "wrongMagic" | "emptyObject"

/** The encoding of watch events. */
export interface EventEncoding {
  /** `bare` omits `kind` and `apiVersion` of the object. */
  readonly change: (type: ChangeType, object: StoredObject, bare: boolean) => BodyChunk
  /** A BOOKMARK. `initialEventsEnd` marks the end of a streaming list. */
  readonly bookmark: (resource: WatchedResource, resourceVersion: number, initialEventsEnd: boolean) => BodyChunk
  /** An ERROR. */
  readonly error: (status: KubeStatus) => BodyChunk
}

/** An encoding. */
export interface ObjectEncoding {
  /** The content type of lists and errors. */
  readonly contentType: string
  readonly watchContentType: string
  /** The body of an error response. */
  readonly status: (status: KubeStatus) => BodyChunk
  /** A list of `items[start, end)`, in chunks of about 64 kB, rendered on demand. */
  readonly list: (
    frame: ListFrame,
    items: ReadonlyArray<StoredObject>,
    start: number,
    end: number
  ) => Iterable<BodyChunk>
  readonly events: EventEncoding
  /** Events with unknown fields in all their messages. */
  readonly eventsWithUnknownFields: EventEncoding
  readonly malformed: Readonly<Record<MalformedEvent, (resource: WatchedResource) => Iterable<BodyChunk>>>
}
