/**
 * The reader's protocol, without I/O. The state names the one request whose reply the reader awaits, so it is never
 * stuck. A step takes the reply, and returns the next state and the actions to perform before its request.
 *
 * A session first catches up with the log. Then it follows the log, and loads the snapshot of each stale scope. It
 * shows a snapshot once it has read the log to the end that it had after the load. A failure never removes the shown
 * lists: they age.
 */
import { Chunk, Result } from "effect"
import { type Identity, isSame } from "../model/ClusterIdentity.ts"
import { takeEntry } from "./ReaderEntries.ts"
import * as Liveness from "./ReaderLiveness.ts"
import {
  type Action,
  act,
  compareLeader,
  type Emission,
  type Head,
  type Input,
  leaderOf,
  log,
  type Look,
  type LookFor,
  mapScopes,
  markAllStale,
  markStale,
  mayShow,
  type Moment,
  type ReadEntry,
  replace,
  type Request,
  type ScopeState,
  type State
} from "./ReaderState.ts"
import * as SharedLog from "./SharedLog.ts"

/** Two clocks that seem this far apart are compared again. */
const comparedMillis = 1000

/**
 * Takes the reply to `state.request`, the end of the session, or the cluster's identity. Any other input changes nothing.
 */
export const step = (state: State, input: Input, now: Moment): readonly [State, ReadonlyArray<Action>] => {
  const next = taken(state, input, now)
  return [{ ...next, actions: [] }, next.actions]
}

const taken = (state: State, input: Input, now: Moment): State => {
  switch (input._tag) {
    case "Disconnected":
      return disconnected(state, input.reason, now)
    case "Identified":
      return identified(state, input.cluster, now)
    default:
      return replied(state, input, now)
  }
}

const replied = (state: State, input: Input, now: Moment): State => {
  const { request } = state
  switch (request._tag) {
    case "Connect":
      return input._tag === "Connected" ? look({ ...state, connectedAt: now.millis }, { _tag: "Resume" }) : state
    case "Look":
      return input._tag === "Looked" ? looked(state, request.why, input.look, now) : state
    case "ReadHeads":
      return input._tag === "HeadsRead" ? proceed(headsRead(state, input.heads, request.look), now) : state
    case "Load":
      return input._tag === "SnapshotRead"
        ? loadFrom(snapshotRead(state, request, input.snapshot, now), request.look, request.index + 1, now)
        : state
    case "ReadLog":
      return input._tag === "LogRead" ? logRead(state, request.blockMillis !== undefined, input.entries, now) : state
  }
}

const look = (state: State, why: LookFor): State => ({ ...state, request: { _tag: "Look", why } })

const isDue = (state: State, { loading, retryAt, stale }: ScopeState, { millis }: Moment): boolean =>
  stale !== undefined && loading === undefined && state.foreign === undefined && millis >= retryAt

/** Catches up with the log; then loads the snapshots that are due; then shows them and follows the log. */
const proceed = (state: State, now: Moment): State => {
  const { position, readTo } = state
  if (position === undefined) return look(state, { _tag: "Resume" })
  if (readTo !== undefined && SharedLog.isAfter(readTo, position)) {
    return { ...state, request: { _tag: "ReadLog", from: position, blockMillis: undefined } }
  }
  const caughtUp = connected({ ...state, readTo: undefined })
  return caughtUp.scopes.some((scope) => isDue(caughtUp, scope, now))
    ? look(caughtUp, { _tag: "Load" })
    : follow(emit(show(caughtUp), now), position, now)
}

const connected = (state: State): State =>
  state.isConnected ? state : act({ ...state, isConnected: true }, { _tag: "ObserveConnected", connected: true })

/** Puts the loaded snapshots, which are complete by now, into the outbox. */
const show = (state: State): State => state.scopes.reduce(showScope, state)

const showScope = (state: State, scope: ScopeState): State => {
  const { failures, loading, stale } = scope
  if (loading === undefined || stale === undefined) return state
  const { generation, version } = loading
  const shown = { generation, version }
  const snapshot: Emission = { _tag: "Snapshot", scope: scope.scope, ...loading }
  const next = replace(
    { ...state, loggedUndecodable: false, outbox: Chunk.append(state.outbox, snapshot) },
    { ...scope, shown, stale: undefined, loading: undefined, reported: undefined, failures: 0 }
  )
  return act(
    failures === 0 ? next : act(next, log("Info", "Loaded the snapshot from Redis again", { scope: scope.scope.name })),
    { _tag: "ObserveLoaded", reason: stale }
  )
}

/** Emits the outbox, with changes of liveness, in one step. */
const emit = (state: State, now: Moment): State => {
  const reported = Liveness.report(state, now)
  const { outbox } = reported
  return Chunk.isNonEmpty(outbox)
    ? act({ ...reported, outbox: Chunk.empty() }, { _tag: "Emit", emissions: outbox })
    : reported
}

/** Waits for an entry; at most until the next load is due, or the leader has been silent for too long. */
const follow = (state: State, from: SharedLog.LogId, now: Moment): State => {
  const retryAt =
    state.foreign === undefined
      ? state.scopes.reduce((at, scope) => (scope.stale === undefined ? at : Math.min(at, scope.retryAt)), Infinity)
      : Infinity
  const silentAt = Liveness.isSilent(state, now) ? Infinity : state.spokeAt + state.silenceMillis - state.clockAhead
  const block = Math.min(state.settings.beatMillis, Math.min(retryAt, silentAt) - now.millis)
  return { ...state, request: { _tag: "ReadLog", from, blockMillis: Math.ceil(Math.max(1, block)) } }
}

/** The shown lists stay, and age until the next session. */
const disconnected = (state: State, reason: string, now: Moment): State => {
  const { connectedAt, silenceMillis, trouble } = state
  const lost = mapScopes(Liveness.noneLive(state), (scope) => ({ ...scope, loading: undefined }))
  // A session that outlasted a lease is not part of a series of failures.
  const afresh = connectedAt !== undefined && now.millis - connectedAt > silenceMillis
  return act(
    {
      ...emit(lost, now),
      request: { _tag: "Connect", afresh },
      connectedAt: undefined,
      isConnected: false,
      readTo: undefined,
      trouble: reason
    },
    { _tag: "ObserveConnected", connected: false },
    log(
      trouble === reason ? "Debug" : "Warn",
      "Cannot read the cluster's state from Redis: the last known state stays and ages",
      { error: reason }
    )
  )
}

/** The cluster has answered. What was loaded from Redis until now can turn out to be another cluster's. */
const identified = (state: State, cluster: Identity, now: Moment): State => {
  const { published, scopes } = state
  const next = compareLeader({ ...state, cluster }, published)
  const isRefuted =
    published.cluster !== undefined && isSame(state.cluster, published.cluster) && !isSame(cluster, published.cluster)
  if (!isRefuted) return emit(next, now)
  const unloaded = emit(
    mapScopes(next, (scope) => ({ ...scope, loading: undefined })),
    now
  )
  // No event removes a shown list.
  return scopes.some(({ shown }) => shown !== undefined)
    ? act(unloaded, { _tag: "Die", message: "This instance shows the state of another cluster than it serves" })
    : unloaded
}

const looked = (state: State, why: LookFor, found: Look, now: Moment): State => {
  const next = compareLeader({ ...state, clockAhead: found.now - now.millis }, found)
  switch (why._tag) {
    case "Resume":
      return resume(rewind(next, found.last), found)
    case "Load":
      return loadFrom(rewind(next, found.last), found, 0, now)
    case "Loaded":
      return proceed({ ...next, readTo: found.last }, now)
    case "Compare":
      return proceed(why.read === undefined ? next : observeRead(next, why.read, now), now)
  }
}

/**
 * Moves to the end of a log that ends before the position: Redis lost entries, so it may not hold the shown lists any
 * more.
 */
const rewind = (state: State, last: SharedLog.LogId): State => {
  if (state.position === undefined) return { ...state, position: last }
  return SharedLog.isAfter(state.position, last) ? markAllStale({ ...state, position: last }, "behind") : state
}

/** Asks whether Redis still holds the shown lists, and then catches up. */
const resume = (state: State, found: Look): State => {
  const keys = state.scopes.flatMap(({ scope, stale }) => {
    const key = stale === undefined ? found.keys.get(scope.name) : undefined
    return key === undefined ? [] : [[scope.name, key] as const]
  })
  return {
    ...Liveness.foundLeader(state, found),
    readTo: found.last,
    request: { _tag: "ReadHeads", keys: new Map(keys), look: found }
  }
}

const headsRead = (state: State, heads: ReadonlyMap<string, Head>, found: Look): State =>
  mapScopes(state, (scope) => {
    if (scope.stale !== undefined) return scope
    const head = heads.get(scope.scope.name)
    return head === undefined ? markStale(scope, "behind") : Liveness.resumed(scope, head, found)
  })

/** Loads the snapshots that are due, beginning with the scope at `from`; then looks where the log ends. */
const loadFrom = (state: State, found: Look, from: number, now: Moment): State => {
  const index = state.scopes.findIndex((scope, at) => at >= from && isDue(state, scope, now))
  const scope = state.scopes[index]
  if (scope === undefined) return look(state, { _tag: "Loaded" })
  const key = found.keys.get(scope.scope.name)
  return key === undefined
    ? loadFrom(notLoaded(state, scope, "there is no snapshot yet", true, now), found, index + 1, now)
    : { ...state, request: { _tag: "Load", scope: scope.scope, key, index, look: found } }
}

const snapshotRead = (
  state: State,
  { index, look: found }: Extract<Request, { readonly _tag: "Load" }>,
  snapshot: Extract<Input, { readonly _tag: "SnapshotRead" }>["snapshot"],
  now: Moment
): State => {
  const scope = state.scopes[index]
  if (scope === undefined) return state
  if (Result.isFailure(snapshot)) return notLoaded(state, scope, snapshot.failure, false, now)
  const { head, objects } = snapshot.success
  if (!mayShow(head, scope.shown, leaderOf(found))) {
    return notLoaded(state, scope, "the snapshot is older than what is shown", true, now)
  }
  const { generation, version } = head
  const loading = { generation, version, objects, events: Chunk.empty() }
  return replace(state, { ...Liveness.loaded(scope, head, found), loading })
}

/** Retries later. An entry of the log ends an expected failure, so the wait is the longest. */
const notLoaded = (state: State, scope: ScopeState, problem: string, isExpected: boolean, now: Moment): State => {
  const { firstMillis, longestMillis } = state.settings
  const { failures } = scope
  const wait = isExpected ? longestMillis : Math.min(longestMillis, firstMillis * 2 ** Math.min(failures, 16))
  const retryAt = now.millis + wait * now.jitter
  const message = log(
    isExpected || failures > 0 ? "Debug" : "Warn",
    "Cannot load a snapshot from Redis: the last known state stays and ages",
    { scope: scope.scope.name, problem }
  )
  return isExpected
    ? act(replace(state, { ...scope, retryAt }), message)
    : act(replace(state, { ...scope, retryAt, failures: failures + 1 }), message, { _tag: "ObserveLoadFailed" })
}

const logRead = (state: State, isFollowing: boolean, entries: ReadonlyArray<ReadEntry>, now: Moment): State => {
  // By now every kind of command has worked in this session.
  const next =
    isFollowing && state.trouble !== undefined
      ? act({ ...state, trouble: undefined }, log("Info", "Reading the cluster's state from Redis again"))
      : state
  if (entries.length > 0) return entriesRead(next, entries, now)
  if (!isFollowing) return proceed({ ...next, readTo: undefined }, now)
  // A log that was emptied and grows again before the position looks like a silent one. And clocks can jump back.
  return look(next, Liveness.isSilent(next, now) ? { _tag: "Resume" } : { _tag: "Compare", read: undefined })
}

const entriesRead = (state: State, entries: ReadonlyArray<ReadEntry>, now: Moment): State => {
  const next = entries.reduce(takeEntry, state)
  const at = entries.findLast(({ content }) => content !== undefined)?.content?.at
  if (at === undefined) return proceed(next, now)
  const read = { entries: entries.length, at }
  // Either the entry is old, or the clocks drifted apart.
  return Math.abs(Liveness.redisNow(next, now) - at) > comparedMillis
    ? look(next, { _tag: "Compare", read })
    : proceed(observeRead(next, read, now), now)
}

const observeRead = (
  state: State,
  { at, entries }: { readonly entries: number; readonly at: number },
  now: Moment
): State => act(state, { _tag: "ObserveRead", entries, lagMillis: Math.max(0, Liveness.redisNow(state, now) - at) })
