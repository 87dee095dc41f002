/** Decodes lists, watches and errors. There are two codecs, JSON and Kubernetes protobuf, with the same results. */
import { Result } from "effect"
import type { ResourceVersion } from "../../model/ResourceVersion.ts"
import type { Decoded, ObjectFields, ResourceKind } from "./ResourceKind.ts"

/** The part of a `Status` that is read: the body of an error response, or the object of an ERROR event. */
export interface Status {
  readonly code?: number | null | undefined
  readonly reason?: string | null | undefined
  readonly message?: string | null | undefined
  readonly details?:
    | {
        readonly retryAfterSeconds?: number | null | undefined
        readonly causes?: ReadonlyArray<{ readonly reason?: string | null | undefined }> | null | undefined
      }
    | null
    | undefined
}

/** An object that could not be decoded. `key` is undefined if its name or namespace could not be decoded either. */
export interface UndecodableObject {
  readonly key: string | undefined
  /** The reason. It quotes no content of the object. */
  readonly message: string
}

/** A page of a list. */
export interface KubeListPage<A> {
  readonly items: ReadonlyArray<A>
  readonly undecodable: ReadonlyArray<UndecodableObject>
  readonly resourceVersion: ResourceVersion
  readonly continue: string | undefined
}

/**
 * An event of a watch.
 *
 * - `Opened`: the server accepted the watch.
 * - `Applied`: added or changed. `Deleted`: deleted; the object's version is that of its deletion.
 * - `Undecodable`: an object was added or changed, but could not be decoded.
 * - `Bookmark`: all changes up to `resourceVersion` were sent. `initialEventsEnd` marks the end of a streaming list.
 */
export type WatchEvent<A> =
  | { readonly _tag: "Opened" }
  | { readonly _tag: "Applied"; readonly object: A }
  | { readonly _tag: "Deleted"; readonly object: A }
  | ({ readonly _tag: "Undecodable" } & UndecodableObject)
  | { readonly _tag: "Bookmark"; readonly resourceVersion: ResourceVersion; readonly initialEventsEnd: boolean }

/** The annotation of the bookmark that ends a streaming list; its value is `true`. */
export const initialEventsEnd = "k8s.io/initial-events-end"

/** The items that a chunk completes. After a `failure`, no more is read. */
export interface Progress<A, F> {
  readonly complete: ReadonlyArray<A>
  readonly failure?: F | undefined
}

/** Why reading a watch failed: the `Status` of an ERROR event, or the reason why an event cannot be decoded. */
export type WatchFailure = Status | string

/** Decodes a watch as its bytes arrive. */
export interface WatchReader<A> {
  readonly push: (chunk: Uint8Array) => Progress<WatchEvent<A>, WatchFailure>
  /** Ends the body. Fails if the last event is truncated. */
  readonly end: () => Progress<WatchEvent<A>, WatchFailure>
}

/** Decodes a page of a list as its bytes arrive. */
export interface PageReader<A> {
  /** Takes a chunk. Returns the reason if the page cannot be decoded. */
  readonly push: (chunk: Uint8Array) => string | undefined
  /** The page, at the end of the body. */
  readonly end: () => Decoded<KubeListPage<A>>
}

/** A codec. */
export interface KubeCodec {
  readonly page: <A extends { readonly resourceVersion: ResourceVersion }>(kind: ResourceKind<A>) => PageReader<A>
  readonly watch: <A extends { readonly resourceVersion: ResourceVersion }>(kind: ResourceKind<A>) => WatchReader<A>
  readonly status: (body: Uint8Array) => Decoded<Status>
}

/** The object with these fields. Fails if they are invalid, or with the reason `malformed` if the bytes were malformed. */
export const objectOf = <A extends { readonly resourceVersion: ResourceVersion }>(
  kind: ResourceKind<A>,
  fields: ObjectFields,
  malformed?: string
): Result.Result<A, UndecodableObject> =>
  Result.mapError(malformed === undefined ? kind.validate(fields) : Result.fail(malformed), (message) => ({
    key: kind.keyOf(fields),
    message
  }))

/**
 * The event of a change. An undecodable object that was added or modified is an event. A DELETED event only needs a valid
 * name, namespace and version. Without them it fails, because skipping a deletion would leave the object in the cache.
 */
export const changeOf = <A extends { readonly resourceVersion: ResourceVersion }>(
  kind: ResourceKind<A>,
  type: "ADDED" | "MODIFIED" | "DELETED",
  fields: ObjectFields,
  malformed?: string
): Result.Result<WatchEvent<A>, string> => {
  if (type === "DELETED") {
    const object = objectOf(kind, { ...fields, replicas: undefined }, malformed)
    return Result.mapBoth(object, {
      onFailure: ({ message }) => `a deleted object: ${message}`,
      onSuccess: (object) => ({ _tag: "Deleted", object })
    })
  }
  const object = objectOf(kind, fields, malformed)
  return Result.succeed(
    Result.isSuccess(object) ? { _tag: "Applied", object: object.success } : { _tag: "Undecodable", ...object.failure }
  )
}
