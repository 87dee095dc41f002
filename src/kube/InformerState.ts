/** The states of the informer, its inputs and its actions. `InformerProtocol` has the transitions. */
import type { Duration } from "effect"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { ResourceVersion } from "../model/ResourceVersion.ts"
import type { RelistReason, WatchEnd } from "./InformerObserver.ts"
import type { KubeDecodeError, KubeError, Trouble } from "./KubeErrors.ts"
import type { KubeListPage, UndecodableObject, WatchEvent } from "./wire/KubeCodec.ts"

/** The settings of the protocol. */
export interface Settings {
  /** For log messages. */
  readonly resource: WatchedResource
  /** Whether to begin with a streaming list. */
  readonly streamingList: boolean
  /** Objects in a page of the paged list. */
  readonly pageSize: number
  /** Silence after which a watch is ended, on a server that sends periodic bookmarks. */
  readonly silenceMillis: number
  /** Silence after which a streaming list is abandoned. */
  readonly listSilenceMillis: number
  /** Time after which a streaming list is abandoned. */
  readonly listTimeoutMillis: number
  /** Total lifetime of watches after which a list replaces the next watch. */
  readonly relistMillis: number
  /** A watch that lived longer than this ends a series of failures. */
  readonly backoffLongestMillis: number
}

/**
 * The phases. `heardAt`: the time of the last event, in milliseconds since the watch was requested. `spoke`: an event
 * arrived. `news`: a list or a newer version arrived.
 *
 * - `Idle`: not started.
 * - `Listing`: the paged list is being read. All its pages are of the version of the first.
 * - `Opening`: a watch was requested; it begins with a streaming list if `streaming`.
 * - `StreamingList`: the initial events are arriving; their end is outstanding.
 * - `Watching`: the watch is open and the list was emitted.
 * - `Waiting`: the back-off is running.
 * - `ReadingVersion`: the current version of the cluster is being read, to compare it with that of `position`.
 */
export type Phase =
  | { readonly _tag: "Idle" }
  | { readonly _tag: "Listing"; readonly attempt: number; readonly resourceVersion: ResourceVersion | undefined }
  | { readonly _tag: "Opening"; readonly streaming: boolean }
  | { readonly _tag: "StreamingList"; readonly heardAt: number; readonly spoke: boolean }
  | { readonly _tag: "Watching"; readonly heardAt: number; readonly spoke: boolean; readonly news: boolean }
  | { readonly _tag: "Waiting" }
  | { readonly _tag: "ReadingVersion" }

/** The phases of a watch. */
export type Watch = Extract<Phase, { readonly _tag: "Opening" | "StreamingList" | "Watching" }>

/**
 * The position in the history of the cluster.
 *
 * - `ListDue`: there is no version to resume from, so a list is needed.
 * - `Listed`: a paged list was read, and is emitted when its watch opens. Otherwise a service that may list but not watch
 *   would report ready with a view that never changes.
 * - `Emitted`: everything up to this version was emitted. A watch resumes from it.
 */
export type Position =
  | { readonly _tag: "ListDue" }
  | { readonly _tag: "Listed"; readonly resourceVersion: ResourceVersion }
  | { readonly _tag: "Emitted"; readonly resourceVersion: ResourceVersion }

export interface State {
  readonly settings: Settings
  readonly phase: Phase
  readonly position: Position
  /** Whether streaming lists are used, or paged ones. */
  readonly streamingList: boolean
  /** The reason of the list that is due, or else of the last one. */
  readonly relistReason: RelistReason
  /** The reason of the last list, and whether there was progress since. Together they reveal a loop of lists. */
  readonly lastRelist: RelistReason | undefined
  readonly progressed: boolean
  /** Consecutive streaming lists that broke off after they had opened. */
  readonly brokenLists: number
  /** How long watches have lived since the last list, in milliseconds. */
  readonly watchedMillis: number
  /** Consecutive watches that broke at the version of `position`. */
  readonly brokenWatches: number
  /** Whether the server sends periodic bookmarks. If it does not, a watch may be silent for any time. */
  readonly sendsBookmarks: boolean
  /** Whether the consumer regards the watch as open, so that `Lost` follows its end. */
  readonly live: boolean
  /** The current series of failures, to log repetitions as debug records. */
  readonly trouble: Trouble | undefined
  /** Whether the back-off has waited since its last reset. */
  readonly backedOff: boolean
}

/**
 * An input. `at` is in milliseconds since the watch was requested.
 *
 * - `Started`: begin.
 * - `PageListed`, `ListFailed`: the outcome of `ListPage`.
 * - `Watched`: an event of the watch, which is open.
 * - `WatchEnded`: the outcome of `OpenWatch`: a clean end, a failure, or an end that `overdue` requested.
 * - `Waited`: the outcome of `Wait`.
 * - `VersionRead`, `VersionFailed`: the outcome of `ReadVersion`.
 */
export type Input<A> =
  | { readonly _tag: "Started" }
  | { readonly _tag: "PageListed"; readonly page: KubeListPage<A> }
  | { readonly _tag: "ListFailed"; readonly error: KubeError }
  | { readonly _tag: "Watched"; readonly event: WatchEvent<A>; readonly at: number }
  | { readonly _tag: "WatchEnded"; readonly end: WatchEnd; readonly error?: KubeError | undefined; readonly at: number }
  | { readonly _tag: "Waited" }
  | { readonly _tag: "VersionRead"; readonly resourceVersion: ResourceVersion }
  | { readonly _tag: "VersionFailed"; readonly error: KubeError }

/** The end of a watch. */
export type WatchEnded = Extract<Input<never>, { readonly _tag: "WatchEnded" }>

/**
 * An action that takes time.
 *
 * - `ListPage`: read a page; without `continue`, the first one of a new list.
 * - `OpenWatch`: watch from this version; without one, begin with a streaming list.
 * - `Wait`: wait for the back-off, and at least for the `Retry-After` of the server.
 * - `ReadVersion`: read the current version.
 */
export type Operation =
  | { readonly _tag: "ListPage"; readonly limit: number | undefined; readonly continue: string | undefined }
  | { readonly _tag: "OpenWatch"; readonly from: ResourceVersion | undefined }
  | { readonly _tag: "Wait"; readonly atLeast: Duration.Duration | undefined }
  | { readonly _tag: "ReadVersion" }

/**
 * An action. The actions of a step are performed in order.
 *
 * - `CollectPage`: append to the list being read. `Collect`, `Forget`: set or remove one object of it, by key.
 *   `CollectUndecodable`: list this key as undecodable. The list is not part of the state, so that no step copies it. A new
 *   list begins empty.
 * - `Skip`: log and count an object that could not be decoded.
 * - `EmitReplaced`: emit the collected list. The other `Emit` actions emit the event of that name.
 * - `ResetBackoff`: the next wait is the shortest.
 * - `Observe…`: call the method of `InformerObserver`.
 * - `Log`: write a log record.
 */
export type Action<A> =
  | Operation
  | { readonly _tag: "CollectPage"; readonly objects: ReadonlyArray<A> }
  | { readonly _tag: "Collect"; readonly object: A }
  | { readonly _tag: "Forget"; readonly object: A }
  | { readonly _tag: "CollectUndecodable"; readonly key: string }
  | ({ readonly _tag: "Skip" } & UndecodableObject)
  | { readonly _tag: "EmitReplaced"; readonly resourceVersion: ResourceVersion }
  | { readonly _tag: "EmitApplied"; readonly object: A }
  | { readonly _tag: "EmitDeleted"; readonly object: A }
  | { readonly _tag: "EmitHeard" }
  | { readonly _tag: "EmitLost" }
  | { readonly _tag: "ResetBackoff" }
  | { readonly _tag: "ObserveListing"; readonly reason: RelistReason }
  | { readonly _tag: "ObserveRelisted"; readonly reason: RelistReason }
  | { readonly _tag: "ObserveWatchStarted" }
  | { readonly _tag: "ObserveWatchEnded"; readonly end: WatchEnd }
  | { readonly _tag: "ObserveBookmark"; readonly resourceVersion: ResourceVersion }
  | { readonly _tag: "ObserveDecodeError"; readonly error: KubeDecodeError }
  | {
      readonly _tag: "Log"
      readonly level: "Debug" | "Info" | "Warn"
      readonly message: string
      readonly error?: KubeError | undefined
    }

/** The next state and the actions. */
export type Step<A> = readonly [State, ReadonlyArray<Action<A>>]

/** The state before `Started`. */
export const initial = (settings: Settings): State => ({
  settings,
  phase: { _tag: "Idle" },
  position: { _tag: "ListDue" },
  streamingList: settings.streamingList,
  relistReason: "start",
  lastRelist: undefined,
  progressed: false,
  brokenLists: 0,
  watchedMillis: 0,
  brokenWatches: 0,
  sendsBookmarks: false,
  live: false,
  trouble: undefined,
  backedOff: false
})
