import { Context, Effect } from "effect"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { NamespaceName } from "../contract/Names.ts"
import type { ResourceVersion } from "../model/ResourceVersion.ts"
import type { KubeDecodeError } from "./KubeErrors.ts"

/**
 * Why a whole list was taken.
 *
 * - `start`: the first one.
 * - `expired`: the server no longer has the version to resume from (410).
 * - `version-too-large`: the server has not seen that version; its store went back.
 * - `refused`: the server will not resume from that version at all.
 * - `broken`: watches from that version keep breaking with lines that cannot be read, or with ERROR events.
 * - `silent`: a server that sends bookmarks said nothing at all on the watch resumed from it.
 */
export type RelistReason = "start" | "expired" | "version-too-large" | "refused" | "broken" | "silent"

/**
 * Why a watch ended.
 *
 * - `closed`: the server ended it, as it does when its time is up.
 * - `deadline`: its time was up and the server did not end it.
 * - `silent`: its bookmarks stopped, or, on a server that sends them, never came.
 * - `stalled`: the initial events of a streaming list stopped before their end.
 * - `unsupported`: the server has no streaming list.
 * - `expired`, `failed`, `forbidden`: the server's answer or ERROR event.
 * - `undecodable`: it said something that cannot be read.
 * - `unreachable`: no connection, or it broke.
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

/**
 * Is told what the informers do, for metrics. The default does nothing; the effects run in the informer's own fiber, so
 * they must be quick.
 */
export interface InformerObserver {
  /** A whole list is due, and is asked for until there is one. */
  readonly listing: (resource: WatchedResource, reason: RelistReason) => Effect.Effect<void>
  /** A whole list has been taken and passed on. */
  readonly relisted: (resource: WatchedResource, reason: RelistReason) => Effect.Effect<void>
  /** The server took a watch; of one namespace, if one is named. */
  readonly watchStarted: (resource: WatchedResource, namespace?: NamespaceName) => Effect.Effect<void>
  /** A watch that was tried or taken is no more. */
  readonly watchEnded: (resource: WatchedResource, end: WatchEnd, namespace?: NamespaceName) => Effect.Effect<void>
  /** An answer could not be read. */
  readonly decodeError: (resource: WatchedResource, error: KubeDecodeError) => Effect.Effect<void>
  /** A bookmark came. */
  readonly bookmark: (resource: WatchedResource, resourceVersion: ResourceVersion) => Effect.Effect<void>
  /** An event is passed on. Not an effect: it is called for each of them. It must not throw. */
  readonly emitting: (resource: WatchedResource) => void
}

/** An observer that does nothing. */
export const unobserved: InformerObserver = {
  listing: () => Effect.void,
  relisted: () => Effect.void,
  watchStarted: () => Effect.void,
  watchEnded: () => Effect.void,
  decodeError: () => Effect.void,
  bookmark: () => Effect.void,
  emitting: () => {}
}

/** The observer of all informers that run with it. */
export const InformerObserver: Context.Reference<InformerObserver> = Context.Reference<InformerObserver>(
  "kube-resource-api/kube/InformerObserver",
  { defaultValue: () => unobserved }
)

/** Tells several, one after the other. */
export const all = (observers: ReadonlyArray<InformerObserver>): InformerObserver => {
  const each = (tell: (observer: InformerObserver) => Effect.Effect<void>) =>
    Effect.forEach(observers, tell, { discard: true })
  return {
    listing: (resource, reason) => each((observer) => observer.listing(resource, reason)),
    relisted: (resource, reason) => each((observer) => observer.relisted(resource, reason)),
    watchStarted: (resource, namespace) => each((observer) => observer.watchStarted(resource, namespace)),
    watchEnded: (resource, end, namespace) => each((observer) => observer.watchEnded(resource, end, namespace)),
    decodeError: (resource, error) => each((observer) => observer.decodeError(resource, error)),
    bookmark: (resource, resourceVersion) => each((observer) => observer.bookmark(resource, resourceVersion)),
    emitting: (resource) => {
      for (const observer of observers) observer.emitting(resource)
    }
  }
}
