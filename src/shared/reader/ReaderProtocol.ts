/**
 * The reader's protocol, without I/O. The state always names the one request whose reply the reader awaits. A step
 * takes the reply, and returns the next state and the actions to perform before the next request. The actions include all
 * new events for the cache.
 *
 * A session first catches up with the log. Then it follows the log, and loads the snapshot of each stale scope. A
 * failure never removes the shown lists: they age.
 */
import { Chunk } from "effect"
import { type Identity, isSame } from "../../model/ClusterIdentity.ts"
import { takeEntry } from "./ReaderEntries.ts"
import * as Liveness from "./ReaderLiveness.ts"
import * as Loads from "./ReaderLoads.ts"
import {
  type Action,
  act,
  type Batch,
  compareLeader,
  type Head,
  type Input,
  log,
  type Look,
  type LookFor,
  mapScopes,
  markAllStale,
  markStale,
  type Moment,
  type State
} from "./ReaderState.ts"
import * as SharedLog from "../SharedLog.ts"

/**
 * Takes the reply to `state.request`, the end of the session, or the cluster's identity. Any other input changes nothing.
 */
export const step = (state: State, input: Input, now: Moment): readonly [State, ReadonlyArray<Action>] => {
  const next = emit(taken(state, input, now), now)
  return [{ ...next, actions: [] }, next.actions]
}

const taken = (state: State, input: Input, now: Moment): State => {
  switch (input._tag) {
    case "Disconnected":
      return disconnected(state, input.reason, now)
    case "Identified":
      return identified(state, input.cluster)
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
    case "ReadHead":
      return input._tag === "HeadRead" ? proceed(Loads.headRead(state, input.head, now), now) : state
    case "ReadPage":
      return input._tag === "PageRead" ? proceed(Loads.pageRead(state, input.page, now), now) : state
    case "ReadLog": {
      if (input._tag !== "LogRead") return state
      return logRead(state, request.blockMillis !== undefined, { ...input, asked: now.asked }, now)
    }
  }
}

const look = (state: State, why: LookFor): State => ({ ...state, request: { _tag: "Look", why } })

/** Catches up with the log; then shows what is loaded; then loads the snapshots that are due, or follows the log. */
const proceed = (state: State, now: Moment): State => {
  const { position, readTo } = state
  if (position === undefined) return look(state, { _tag: "Resume" })
  if (readTo !== undefined && SharedLog.isAfter(readTo, position)) return readLog(state, position)
  const caughtUp = connected({ ...state, readTo: undefined })
  if (caughtUp.loads !== undefined) {
    return Loads.isBehindLog(caughtUp.loads)
      ? readLog(caughtUp, position)
      : Loads.proceed(caughtUp, caughtUp.loads, now)
  }
  const shown = Loads.show(caughtUp, now)
  return Loads.areDue(shown, now) ? look(shown, { _tag: "Load" }) : follow(shown, position, now)
}

const readLog = (state: State, from: SharedLog.LogId): State => ({
  ...state,
  request: { _tag: "ReadLog", from, blockMillis: undefined }
})

const connected = (state: State): State =>
  state.isConnected ? state : act({ ...state, isConnected: true }, { _tag: "ObserveConnected", connected: true })

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
  const until = Math.min(Loads.dueAt(state), Liveness.silentAt(state, now) ?? Infinity)
  const block = Math.min(state.settings.blockMillis, until - now.millis)
  return { ...state, request: { _tag: "ReadLog", from, blockMillis: Math.ceil(Math.max(1, block)) } }
}

/** The shown lists stay, and age until the next session. */
const disconnected = (state: State, reason: string, now: Moment): State => {
  const { connectedAt, settings, trouble } = state
  const lost = mapScopes(Liveness.disconnected(state), (scope) => ({ ...scope, loading: undefined }))
  // A session that outlasted a lease is not part of a series of failures.
  const afresh = connectedAt !== undefined && now.millis - connectedAt > settings.leaseMillis
  return act(
    {
      ...lost,
      request: { _tag: "Connect", afresh },
      connectedAt: undefined,
      isConnected: false,
      readTo: undefined,
      loads: undefined,
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

/** The cluster has answered. The state loaded so far can turn out to be another cluster's. */
const identified = (state: State, cluster: Identity): State => {
  const { published, scopes } = state
  const next = compareLeader({ ...state, cluster }, published)
  const isRefuted =
    published.cluster !== undefined && isSame(state.cluster, published.cluster) && !isSame(cluster, published.cluster)
  if (!isRefuted) return next
  const unloaded = mapScopes({ ...next, loads: undefined }, (scope) => ({ ...scope, loading: undefined }))
  // No event removes a shown list.
  return scopes.some(({ shown }) => shown !== undefined)
    ? act(unloaded, { _tag: "Die", message: "This instance shows the state of a cluster other than its own" })
    : unloaded
}

const looked = (state: State, why: LookFor, found: Look, now: Moment): State => {
  const next = compareLeader(Liveness.compared(state, found, now), found)
  switch (why._tag) {
    case "Resume":
      return resume(rewind(next, found, now), found)
    case "Load":
      return proceed(Loads.begin(rewind(next, found, now), found, now), now)
    case "Loaded":
      return proceed({ ...next, readTo: found.last }, now)
    case "Compare":
      return why.batch === undefined ? proceed(next, now) : entriesRead(next, why.batch, now)
  }
}

/**
 * Moves to the end of a log that ends before the position: Redis lost entries, so it may not hold the shown lists any
 * more.
 */
const rewind = (state: State, { last }: Look, { asked }: Moment): State => {
  if (state.position !== undefined && !SharedLog.isAfter(state.position, last)) return state
  const moved = Liveness.ended(Liveness.beganAt({ ...state, position: last }, last), asked)
  return state.position === undefined ? moved : markAllStale(moved, "behind")
}

/** Checks that Redis still holds the shown lists, and then catches up. */
const resume = (state: State, found: Look): State => {
  const keys = state.scopes.flatMap(({ scope, stale }) => {
    const key = stale === undefined ? found.keys.get(scope.name) : undefined
    return key === undefined ? [] : [[scope.name, key] as const]
  })
  return {
    ...Liveness.beganAt(state, found.last),
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

const logRead = (state: State, isFollowing: boolean, batch: Batch, now: Moment): State => {
  // Logged only now, after each kind of command has succeeded in this session.
  const next =
    isFollowing && state.trouble !== undefined
      ? act({ ...state, trouble: undefined }, log("Info", "Reading the cluster's state from Redis again"))
      : state
  if (batch.entries.length > 0) {
    return batch.entries.some((entry) => Liveness.seemsApart(next, entry, now))
      ? look(next, { _tag: "Compare", batch })
      : entriesRead(next, batch, now)
  }
  const ended = Liveness.ended(Loads.logRead(next, batch), batch.asked)
  if (!isFollowing) return proceed({ ...ended, readTo: undefined }, now)
  // A log that was emptied and has not yet reached the position again looks like a silent one.
  const isSilent = Liveness.silentAt(ended, now) === undefined
  return look(ended, isSilent ? { _tag: "Resume" } : { _tag: "Compare", batch: undefined })
}

const entriesRead = (state: State, batch: Batch, now: Moment): State => {
  const { asked, entries, isFull } = batch
  const taken = Loads.logRead(
    entries.reduce((state, entry) => takeEntry(state, entry, now), state),
    batch
  )
  const next = isFull ? taken : Liveness.ended(taken, asked)
  const last = entries.findLast(({ content }) => content !== undefined)
  if (last?.content === undefined) return proceed(next, now)
  const [, at] = Liveness.spoke(state, last.id, last.content.at, now)
  return proceed(
    act(next, { _tag: "ObserveRead", entries: entries.length, lagMillis: Math.max(0, now.millis - at) }),
    now
  )
}
