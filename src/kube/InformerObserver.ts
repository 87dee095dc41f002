import { Context, Effect } from "effect"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { NamespaceName } from "../contract/Names.ts"
import type { ResourceVersion } from "../model/ResourceVersion.ts"
import type { KubeDecodeError } from "./KubeErrors.ts"

/**
 * Why a list was taken.
 *
 * - `start`: the first list.
 * - `expired`: the version to resume from was compacted (410).
 * - `restored`: the current version is older than that one. The store of the server was restored from a backup.
 * - `version-too-large`: the server has not reached that version. Its store was restored from a backup, or the replica
 *   lags behind.
 * - `refused`: the server rejects that version.
 * - `broken`: watches from that version keep failing with undecodable or ERROR events.
 * - `silent`: the watch from that version received nothing, although the server sends bookmarks.
 * - `periodic`: the interval of the periodic relist has passed.
 */
export type RelistReason =
  "start" | "expired" | "restored" | "version-too-large" | "refused" | "broken" | "silent" | "periodic"

/**
 * Why a watch ended.
 *
 * - `closed`: the server ended it, as it does at the timeout.
 * - `deadline`: the server did not end it at the timeout.
 * - `silent`: no bookmark arrived for too long, on a server that sends them.
 * - `stalled`: the initial events of a streaming list stopped before their end, or took too long.
 * - `unsupported`: the server does not support streaming lists, or ignores the request for one.
 * - `expired`, `failed`, `forbidden`: an error response or an ERROR event.
 * - `undecodable`: an event could not be decoded, and neither could the key of its object.
 * - `unreachable`: no connection, or a broken one.
 */
export type WatchEnd =
  | "closed"
  | "deadline"
  | "silent"
  | "stalled"
  | "unsupported"
  | "expired"
  | "failed"
  | "forbidden"
  | "undecodable"
  | "unreachable"

/** Observes informers, for metrics. The effects run in the informer's fiber, so they must be quick. */
export interface InformerObserver {
  /** A list is due. It is requested until it succeeds. */
  readonly listing: (resource: WatchedResource, reason: RelistReason) => Effect.Effect<void>
  /** The list was emitted. */
  readonly relisted: (resource: WatchedResource, reason: RelistReason) => Effect.Effect<void>
  /** A watch opened, of all namespaces or of one. */
  readonly watchStarted: (resource: WatchedResource, namespace?: NamespaceName) => Effect.Effect<void>
  /** A watch ended or failed to open. */
  readonly watchEnded: (resource: WatchedResource, end: WatchEnd, namespace?: NamespaceName) => Effect.Effect<void>
  /** A response or an event could not be decoded. */
  readonly decodeError: (resource: WatchedResource, error: KubeDecodeError) => Effect.Effect<void>
  /** An object could not be decoded. Consumers keep its last known state. */
  readonly skipped: (resource: WatchedResource) => Effect.Effect<void>
  /** A bookmark arrived. */
  readonly bookmark: (resource: WatchedResource, resourceVersion: ResourceVersion) => Effect.Effect<void>
  /** An event is about to be emitted. A plain function, because it is called for every event. It must not throw. */
  readonly emitting: (resource: WatchedResource) => void
}

/** An observer that does nothing. */
export const unobserved: InformerObserver = {
  listing: () => Effect.void,
  relisted: () => Effect.void,
  watchStarted: () => Effect.void,
  watchEnded: () => Effect.void,
  decodeError: () => Effect.void,
  skipped: () => Effect.void,
  bookmark: () => Effect.void,
  emitting: () => {}
}

/** The observer of informers. Default: `unobserved`. */
export const InformerObserver: Context.Reference<InformerObserver> = Context.Reference<InformerObserver>(
  "kube-resource-api/kube/InformerObserver",
  { defaultValue: () => unobserved }
)

/** Combines observers. */
export const all = (observers: ReadonlyArray<InformerObserver>): InformerObserver => {
  const each = (notify: (observer: InformerObserver) => Effect.Effect<void>) =>
    Effect.forEach(observers, notify, { discard: true })
  return {
    listing: (resource, reason) => each((observer) => observer.listing(resource, reason)),
    relisted: (resource, reason) => each((observer) => observer.relisted(resource, reason)),
    watchStarted: (resource, namespace) => each((observer) => observer.watchStarted(resource, namespace)),
    watchEnded: (resource, end, namespace) => each((observer) => observer.watchEnded(resource, end, namespace)),
    decodeError: (resource, error) => each((observer) => observer.decodeError(resource, error)),
    skipped: (resource) => each((observer) => observer.skipped(resource)),
    bookmark: (resource, resourceVersion) => each((observer) => observer.bookmark(resource, resourceVersion)),
    emitting: (resource) => {
      for (const observer of observers) observer.emitting(resource)
    }
  }
}
