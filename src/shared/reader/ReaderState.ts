/**
 * The types of the reader's protocol: its state, its one request to Redis, the inputs and the actions.
 *
 * There are two clocks. Times in the state are by the local monotonic clock; times in `Look`, `Head` and entries are by
 * Redis' clock. `ReaderLiveness` converts them.
 */
import { Chunk, Duration, type Result } from "effect"
import type { ClusterEvent } from "../../model/ClusterEvent.ts"
import { describe, type Identity, isSame } from "../../model/ClusterIdentity.ts"
import { isOlder, type ResourceVersion } from "../../model/ResourceVersion.ts"
import { otherCluster } from "../OtherCluster.ts"
import type { LoadReason } from "../SharedCacheObserver.ts"
import { backoffOf, beatEvery, missedBeats, renewEvery, type SharedCacheOptions } from "../SharedCacheOptions.ts"
import { type LogEntry, type LogId, start, type ToldEvent } from "../SharedLog.ts"
import type { Objects } from "../SharedObject.ts"
import { type WatchScope, watchScopesOf } from "../WatchScope.ts"

/** Names a list. Each leader numbers its lists, and a later leader has a later epoch. */
export interface Generation {
  readonly epoch: number
  readonly number: number
}

/** A list, and the version that the log has brought it to. */
export interface ListState {
  readonly generation: Generation
  readonly version: ResourceVersion
}

/** A snapshot before it is shown, with the events that the log carried since the load began. */
export interface Loading extends ListState {
  /** When its leader heard the cluster. */
  readonly heardAt: number
  /** Its version and `heardAt` before the scan. */
  readonly began: { readonly version: ResourceVersion; readonly heardAt: number }
  /** The objects scanned so far; only the driver touches them. */
  readonly objects: Objects | undefined
  readonly events: Chunk.Chunk<ToldEvent>
  readonly isScanned: boolean
  /**
   * Entries are missing, so the events cannot complete the scan. Its objects can be of different times since it began.
   */
  readonly isTorn: boolean
}

/** The reader's state of one scope. `ReaderLiveness` alone changes the last five fields. */
export interface ScopeState {
  readonly scope: WatchScope
  /** The list that the cache shows. */
  readonly shown: ListState | undefined
  /** Why the snapshot must be loaded; undefined while the shown list is complete. */
  readonly stale: LoadReason | undefined
  /** The snapshot that is being loaded, until the log has been read to its end. */
  readonly loading: Loading | undefined
  /** When the next load may begin. */
  readonly retryAt: number
  /** Failed loads in a row. */
  readonly failures: number
  /** Whether the leader says that its watch is live. */
  readonly live: boolean
  /** When the leader last heard the cluster on its watch. */
  readonly heardAt: number | undefined
  /** `heardAt` of the shown list: it stands still while the scope is stale. */
  readonly shownHeardAt: number | undefined
  /** The last emitted `Heard` or `Lost` of the shown list. */
  readonly reported: { readonly live: boolean; readonly heardAt: number | undefined } | undefined
  /** Whether the leader has completed a round of its poll since the last report. */
  readonly polled: boolean
}

/** What the last leader published about itself, if known. */
export interface Published {
  /** The cluster that it watches. */
  readonly cluster: Identity | undefined
  /** The scopes that it watches. */
  readonly watched: ReadonlyArray<string> | undefined
}

/** The content of Redis at one moment. */
export interface Look extends Published {
  /** Redis' clock, in milliseconds since the epoch. */
  readonly now: number
  /** The last entry of the log. */
  readonly last: LogId
  /** The time of the last entry; 0 if there is none. Another server, with another clock, may have written it. */
  readonly lastAt: number
  /** The remaining lease, in milliseconds. */
  readonly leaseLeft: number
  /** The key of each scope's snapshot. */
  readonly keys: ReadonlyMap<string, string>
}

/** The meta fields of a snapshot. */
export interface Head extends ListState {
  readonly heardAt: number
  readonly live: boolean
}

/** An entry of the log; without `content` if it cannot be decoded. */
export interface ReadEntry {
  readonly id: LogId
  readonly content: { readonly at: number; readonly entry: LogEntry } | undefined
}

/** Entries of one reply. `asked`: when the request was sent. `isFull`: there may be more. */
export interface Batch {
  readonly entries: ReadonlyArray<ReadEntry>
  readonly isFull: boolean
  readonly asked: number
}

/** The reason of a `Look`, which determines the next step. */
export type LookFor =
  | { readonly _tag: "Resume" }
  | { readonly _tag: "Load" }
  | { readonly _tag: "Loaded" }
  /** The clocks may have drifted apart. `batch`: the entries to take once they are compared. */
  | { readonly _tag: "Compare"; readonly batch: Batch | undefined }

/** The request whose reply the reader awaits. */
export type Request =
  /** Wait and connect. `afresh`: the last connection held, so begin at the shortest wait. */
  | { readonly _tag: "Connect"; readonly afresh: boolean }
  | { readonly _tag: "Look"; readonly why: LookFor }
  /** Read the heads of the shown lists. */
  | { readonly _tag: "ReadHeads"; readonly keys: ReadonlyMap<string, string>; readonly look: Look }
  /** Read the head of a snapshot, before and after its scan. */
  | { readonly _tag: "ReadHead"; readonly scope: WatchScope; readonly key: string }
  /** Read the next page of a snapshot, and add it to `objects`. */
  | {
      readonly _tag: "ReadPage"
      readonly scope: WatchScope
      readonly key: string
      readonly cursor: string
      readonly objects: Objects | undefined
    }
  /** Read the entries after `from`; with `blockMillis`, wait for one. */
  | { readonly _tag: "ReadLog"; readonly from: LogId; readonly blockMillis: number | undefined }

/** All objects so far, and where the scan goes on; undefined at its end. */
export interface Page {
  readonly objects: Objects
  readonly cursor: string | undefined
}

/** The reply to each request, in the same order; the end of the session; or an update of the cluster's identity. */
export type Input =
  | { readonly _tag: "Connected" }
  | { readonly _tag: "Looked"; readonly look: Look }
  | { readonly _tag: "HeadsRead"; readonly heads: ReadonlyMap<string, Head> }
  /** Without a head the hash is gone or incomplete. */
  | { readonly _tag: "HeadRead"; readonly head: Head | undefined }
  | { readonly _tag: "PageRead"; readonly page: Result.Result<Page, string> }
  | { readonly _tag: "LogRead"; readonly entries: ReadonlyArray<ReadEntry>; readonly isFull: boolean }
  | { readonly _tag: "Disconnected"; readonly reason: string }
  | { readonly _tag: "Identified"; readonly cluster: Identity }

/** The moment of an input: the local clock, now and when the request was sent, and a random factor for waits. */
export interface Moment {
  readonly millis: number
  readonly asked: number
  readonly jitter: number
}

/** An event, or a snapshot that the driver turns into one: only the driver touches the objects. */
export type Emission =
  | ClusterEvent
  | ({ readonly _tag: "Snapshot"; readonly scope: WatchScope } & {
      readonly objects: Objects
    } & Pick<Loading, "events" | "version">)

export type Action =
  /** Emit all of these in one step. */
  | { readonly _tag: "Emit"; readonly emissions: Chunk.NonEmptyChunk<Emission> }
  | {
      readonly _tag: "Log"
      readonly level: "Debug" | "Info" | "Warn" | "Error"
      readonly message: string
      readonly annotations: Readonly<Record<string, string>>
    }
  /** End this instance with a defect. */
  | { readonly _tag: "Die"; readonly message: string }
  | { readonly _tag: "ObserveConnected"; readonly connected: boolean }
  | { readonly _tag: "ObserveForeign"; readonly foreign: boolean }
  | { readonly _tag: "ObserveLoaded"; readonly reason: LoadReason }
  | { readonly _tag: "ObserveLoadFailed" }
  | { readonly _tag: "ObserveRead"; readonly entries: number; readonly lagMillis: number }

/** The loads of the scopes that were due at `look`, one after the other. */
export interface Loads {
  readonly look: Look
  /** The scopes to load. The first one is being loaded. */
  readonly pending: ReadonlyArray<WatchScope>
  /** Where its scan goes on; undefined before the first and after the last page. */
  readonly cursor: string | undefined
  /** Replies of the log since the last page. */
  readonly logReads: number
}

/** The evidence of when something happened. `ReaderLiveness` alone changes it. */
export interface Times {
  /** How far Redis' clock is ahead of the local one, in milliseconds. It may be overestimated, never underestimated. */
  readonly clockAhead: number
  /** The furthest that any server's clock was ahead. */
  readonly furthestAhead: number
  /** When the clocks were last compared. */
  readonly comparedAt: number
  /** The end of the log when the session began. Later entries are dated by the clock of this session's server. */
  readonly since: LogId
  /** When the log was last known to end at the position: later entries were written after it. */
  readonly endAt: number
  /** The time of the leader's last entry in this session; undefined if there is none. */
  readonly wordAt: number | undefined
}

/** The state of a reader. */
export interface State {
  readonly settings: {
    readonly keyPrefix: string
    readonly perNamespace: boolean
    /** The index of each scope, by name. */
    readonly indexes: ReadonlyMap<string, number>
    readonly firstMillis: number
    readonly longestMillis: number
    readonly leaseMillis: number
    /** The longest that a read blocks. */
    readonly blockMillis: number
  }
  readonly request: Request
  /** In a fixed order. */
  readonly scopes: ReadonlyArray<ScopeState>
  /** When the session began; undefined without a connection. */
  readonly connectedAt: number | undefined
  /** Whether this session has caught up with the log. */
  readonly isConnected: boolean
  /** The last entry that was read. */
  readonly position: LogId | undefined
  /** The entry to catch up with before anything is shown. */
  readonly readTo: LogId | undefined
  /** The loads that have begun. */
  readonly loads: Loads | undefined
  readonly times: Times
  /** The silence after which the leader counts as gone. */
  readonly silenceMillis: number
  /** Whether a heartbeat was read and not yet reported to the cache. */
  readonly isRenewed: boolean
  /** The cluster that this instance serves. */
  readonly cluster: Identity
  readonly published: Published
  /** What the leader watches, if that is another cluster or other scopes: then nothing is loaded. */
  readonly foreign: string | undefined
  /** The last logged reason of a failure: repetitions are logged as `Debug`. */
  readonly trouble: string | undefined
  /** Whether an undecodable entry was logged since the last load. */
  readonly loggedUndecodable: boolean
  /** The content of the next `Emit`. */
  readonly outbox: Chunk.Chunk<Emission>
  /** The actions of the step so far; none between two steps. */
  readonly actions: ReadonlyArray<Action>
}

/** The initial state. */
export const initial = (options: SharedCacheOptions, cluster: Identity): State => {
  const { first, longest } = backoffOf(options)
  const scopes = watchScopesOf(options.namespaces)
  return {
    settings: {
      keyPrefix: options.keyPrefix,
      perNamespace: options.namespaces !== undefined,
      indexes: new Map(scopes.map(({ name }, index) => [name, index])),
      firstMillis: Duration.toMillis(first),
      longestMillis: Duration.toMillis(longest),
      leaseMillis: Duration.toMillis(options.lease),
      blockMillis: Math.min(Duration.toMillis(renewEvery(options)), 2 * Duration.toMillis(beatEvery(options)))
    },
    request: { _tag: "Connect", afresh: true },
    scopes: scopes.map((scope) => ({
      scope,
      shown: undefined,
      stale: "start",
      loading: undefined,
      retryAt: 0,
      failures: 0,
      live: false,
      heardAt: undefined,
      shownHeardAt: undefined,
      reported: undefined,
      polled: false
    })),
    connectedAt: undefined,
    isConnected: false,
    position: undefined,
    readTo: undefined,
    loads: undefined,
    times: {
      clockAhead: 0,
      furthestAhead: -Infinity,
      comparedAt: 0,
      since: start,
      endAt: Infinity,
      wordAt: undefined
    },
    silenceMillis: missedBeats * Duration.toMillis(beatEvery(options)),
    isRenewed: false,
    cluster,
    published: { cluster: undefined, watched: undefined },
    foreign: undefined,
    trouble: undefined,
    loggedUndecodable: false,
    outbox: Chunk.empty(),
    actions: []
  }
}

/** The epoch of the living leader. */
export const leaderOf = ({ last, leaseLeft }: Look): number | undefined => (leaseLeft > 0 ? last.epoch : undefined)

const isLater = (a: Generation, b: Generation): boolean =>
  a.epoch > b.epoch || (a.epoch === b.epoch && a.number > b.number)

/**
 * Whether a snapshot may replace the shown list: a later list may, and so may a state of the same list that is not older.
 * A list of an earlier epoch may if its leader is alive: then Redis lost its data and its clock went back. Otherwise it comes
 * from a lagging replica, and the next leader's list will replace it.
 */
export const mayShow = (list: ListState, shown: ListState | undefined, leader: number | undefined): boolean => {
  if (shown === undefined || isLater(list.generation, shown.generation)) return true
  if (isOlder(list.version, shown.version)) return false
  return isLater(shown.generation, list.generation)
    ? list.generation.epoch < shown.generation.epoch && list.generation.epoch === leader
    : true
}

export const log = (
  level: "Debug" | "Info" | "Warn" | "Error",
  message: string,
  annotations: Readonly<Record<string, string>> = {}
): Action => ({ _tag: "Log", level, message, annotations })

export const act = (state: State, ...actions: ReadonlyArray<Action>): State => ({
  ...state,
  actions: [...state.actions, ...actions]
})

export const mapScopes = (state: State, change: (scope: ScopeState) => ScopeState): State => ({
  ...state,
  scopes: state.scopes.map(change)
})

/** Replaces the state of one scope. */
export const replace = (state: State, next: ScopeState): State =>
  mapScopes(state, (scope) => (scope.scope === next.scope ? next : scope))

/** Marks the shown list as stale. A load in progress continues, so that frequent calls cannot prevent every load. */
export const markStale = (scope: ScopeState, reason: LoadReason): ScopeState => ({
  ...scope,
  stale: reason,
  loading: scope.loading === undefined ? undefined : { ...scope.loading, events: Chunk.empty(), isTorn: true }
})

export const markAllStale = (state: State, reason: LoadReason): State =>
  mapScopes(state, (scope) => markStale(scope, scope.stale ?? reason))

/** Compares what the leader watches with what this reader serves. Logs when they differ, and when they match again. */
export const compareLeader = (state: State, { cluster, watched }: Published): State => {
  const published = { cluster: cluster ?? state.published.cluster, watched: watched ?? state.published.watched }
  const difference = differenceFrom(published, state)
  const next = { ...state, published, foreign: difference?.found }
  if (next.foreign === state.foreign) return next
  const observed = act(next, { _tag: "ObserveForeign", foreign: difference !== undefined })
  return act(
    observed,
    difference === undefined
      ? log("Info", "The leader watches what this instance serves again")
      : log("Error", difference.message, difference.annotations)
  )
}

const differenceFrom = ({ cluster, watched }: Published, state: State) => {
  if (cluster !== undefined && !isSame(cluster, state.cluster)) {
    return { found: describe(cluster), ...otherCluster(state.settings.keyPrefix, state.cluster, cluster) }
  }
  const sorted = (names: ReadonlyArray<string>) => [...names].sort().join(", ")
  const serves = sorted(state.scopes.map(({ scope }) => scope.name))
  const found = watched === undefined ? serves : sorted(watched)
  if (found === serves) return undefined
  return {
    found,
    message: "The leader watches other namespaces than this instance: set the same KUBE_NAMESPACES on all instances",
    annotations: { serves, watched: found }
  }
}
