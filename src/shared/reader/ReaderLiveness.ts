/**
 * Decides liveness and age: whether the leader's watch of a scope is live, and when it last heard the cluster. If a time is
 * uncertain, the older one is assumed.
 *
 * A server's clock can be wrong, and the next server's clock can be behind it. So a watch is live only if the leader wrote
 * an entry in this session.
 */
import { Chunk } from "effect"
import type { ClusterEvent } from "../../model/ClusterEvent.ts"
import { unversioned } from "../../model/ResourceVersion.ts"
import {
  type Head,
  leaderOf,
  type Look,
  mapScopes,
  type Moment,
  type ReadEntry,
  type ScopeState,
  type State
} from "./ReaderState.ts"
import { missedBeats } from "../SharedCacheOptions.ts"
import { isAfter, type LogEntry, type LogId, type ToldEvent } from "../SharedLog.ts"

type Beat = Extract<LogEntry, { readonly _tag: "Beat" }>

/** The lag at which the clocks are compared again, and the longest time between two comparisons. */
const apartMillis = 1000
const comparedMillis = 10_000

/** Clocks that drift apart between two comparisons differ by less than this. */
const driftMillis = 5

/** Compares the clocks. Redis read its clock after the request was sent, and rounded down. */
export const compared = (state: State, { last, lastAt, now }: Look, { asked, millis }: Moment): State => {
  const { times } = state
  // A log that was lost begins again, and what it holds was written in this session.
  const since = isAfter(times.since, last) ? last : times.since
  const clockAhead = now + 1 - asked
  const furthestAhead = Math.max(times.furthestAhead, clockAhead, lastAt - asked)
  return { ...state, times: { ...times, clockAhead, furthestAhead, since, comparedAt: millis } }
}

/** Marks the end of the log at which this session began. */
export const beganAt = (state: State, last: LogId): State => ({ ...state, times: { ...state.times, since: last } })

/** The log ended at the position when the request was sent. */
export const ended = (state: State, asked: number): State => ({ ...state, times: { ...state.times, endAt: asked } })

const isOfSession = ({ times }: State, id: LogId): boolean => isAfter(id, times.since)

/** Whether the clocks must be compared: the last time is long ago, or the entry's time is in the future or long past. */
export const seemsApart = (state: State, { content, id }: ReadEntry, { millis }: Moment): boolean => {
  const { clockAhead, comparedAt } = state.times
  const sinceCompared = millis - comparedAt
  if (sinceCompared > comparedMillis) return true
  if (content === undefined || !isOfSession(state, id)) return false
  const lag = millis - (content.at - clockAhead)
  return lag < -driftMillis || (lag > apartMillis && sinceCompared > apartMillis)
}

/** When an entry was written, at the latest. */
const writtenAt = (state: State, id: LogId, at: number, { millis }: Moment): number => {
  const { clockAhead, endAt, furthestAhead } = state.times
  // It may have been written right after the log was last read to its end, by a server whose clock was ahead.
  if (!isOfSession(state, id)) return Math.min(at - furthestAhead, endAt, millis)
  // After a clock was set or this process paused, only `endAt` is certain.
  const time = at - clockAhead
  const isUncertain = time > millis + driftMillis || millis - endAt > apartMillis
  return Math.min(time, isUncertain ? endAt : millis)
}

/** Takes note of an entry's time, and returns it. */
export const spoke = (state: State, id: LogId, at: number, now: Moment): readonly [State, number] => {
  const time = writtenAt(state, id, at, now)
  if (!isOfSession(state, id)) return [state, time]
  const wordAt = Math.max(state.times.wordAt ?? -Infinity, time)
  return [{ ...state, times: { ...state.times, wordAt } }, time]
}

/**
 * The watch is lost on `Lost`; any other event proves that it is live. A `Heard` of a list without a version ends a round of
 * the leader's poll, `isNew` unless the reader is catching up.
 */
export const told = (scope: ScopeState, at: number, event: ToldEvent, isNew: boolean): ScopeState => {
  if (event._tag === "Lost") return { ...scope, live: false }
  const polled = scope.polled || (isNew && event._tag === "Heard" && scope.shown?.version === unversioned)
  return { ...scope, live: true, heardAt: at, polled }
}

/** A new list: the cluster answered, but does not yet watch. */
export const listed = (scope: ScopeState, at: number): ScopeState => ({ ...scope, heardAt: at })

/** A heartbeat extends the leader's liveness, and may name the watches that are live. */
export const beat = (state: State, at: number, { everyMillis, live }: Beat): State => {
  const renewed = { ...state, silenceMillis: missedBeats * everyMillis, isRenewed: true }
  if (live === undefined) return renewed
  const agoByName = new Map(live.map(({ agoMillis, scope }) => [scope, agoMillis]))
  return mapScopes(renewed, (scope) => {
    const ago = agoByName.get(scope.scope.name)
    return ago === undefined ? { ...scope, live: false } : { ...scope, live: true, heardAt: at - ago }
  })
}

/** When a snapshot's leader heard the cluster. */
export const heardAtOf = ({ times }: State, { heardAt }: Head, { asked }: Moment): number =>
  Math.min(heardAt - times.furthestAhead, asked)

/** A snapshot carries the liveness of its leader's watch. */
export const loaded = (scope: ScopeState, head: Head, heardAt: number, look: Look): ScopeState => ({
  ...scope,
  live: isLiveBy(head, look),
  heardAt
})

/** The same for a list that is already shown. Keeps `heardAt`, which this reader knows more exactly. */
export const resumed = (scope: ScopeState, head: Head, look: Look): ScopeState => ({
  ...scope,
  live: isLiveBy(head, look)
})

const isLiveBy = ({ generation, live }: Head, look: Look): boolean => live && generation.epoch === leaderOf(look)

/** Nothing is live: a new leader, none at all, or entries that were missed. */
export const noneLive = (state: State): State => mapScopes(state, (scope) => ({ ...scope, live: false }))

/** The same, and the leader counts as silent until it writes in the next session. */
export const disconnected = (state: State): State =>
  noneLive({ ...state, times: { ...state.times, wordAt: undefined }, isRenewed: false })

/** When the leader counts as gone unless it writes; undefined if it does already. */
export const silentAt = ({ silenceMillis, times: { wordAt } }: State, { millis }: Moment): number | undefined =>
  wordAt === undefined || millis - wordAt >= silenceMillis ? undefined : wordAt + silenceMillis

/** The age of an event from which the cache is told its time. */
const promptMillis = 50

/**
 * Puts a `Heard` or a `Lost` of each scope whose liveness or age changed, or that was polled, into the outbox. The cache
 * counts live watches as lost after `liveUntil`, so each heartbeat must emit a `Heard` of some scope.
 */
export const report = (state: State, now: Moment): State => {
  const liveUntil = silentAt(state, now)
  const scopes = state.scopes.map((scope) => reportOf(state, scope, liveUntil !== undefined, now))
  const renewing = state.isRenewed ? scopes.find(({ reported }) => reported?.live === true) : undefined
  const signs = scopes.flatMap((scope, index) => {
    const before = state.scopes[index]
    if (scope !== renewing && scope.reported === before?.reported) return []
    const sign = signOf(scope, liveUntil)
    return before?.polled === true && sign._tag === "Heard" ? [roundOf(scope), sign] : [sign]
  })
  const outbox = Chunk.appendAll(state.outbox, Chunk.fromIterable(signs))
  return { ...state, scopes, outbox, isRenewed: false }
}

const reportOf = (state: State, scope: ScopeState, isLed: boolean, now: Moment): ScopeState => {
  const { heardAt, reported, shown } = scope
  // Without a list there is no age.
  if (shown === undefined) return scope
  const isComplete =
    scope.stale === undefined && state.foreign === undefined && shown.generation.epoch === state.position?.epoch
  // While a list is stale or of an earlier leader, its age goes on from when it was complete.
  const shownHeardAt = isComplete ? (heardAt ?? scope.shownHeardAt) : scope.shownHeardAt
  const live = isComplete && scope.live && isLed
  // The cache takes any event of an object as a sign of life from just now, even one from before the watch was lost.
  const hasEvents = Chunk.isNonEmpty(state.outbox)
  const isPrompt = shownHeardAt !== undefined && now.millis - shownHeardAt <= promptMillis
  const isNews =
    reported?.live !== live ||
    (live
      ? scope.polled || (reported.heardAt !== shownHeardAt && (state.isRenewed || (hasEvents && !isPrompt)))
      : reported.heardAt !== shownHeardAt || hasEvents)
  if (isNews) return { ...scope, shownHeardAt, reported: { live, heardAt: shownHeardAt }, polled: false }
  return shownHeardAt === scope.shownHeardAt ? scope : { ...scope, shownHeardAt }
}

const watchOf = ({ scope }: ScopeState) => ({
  resource: scope.resource,
  ...(scope.namespace === undefined ? {} : { namespace: scope.namespace })
})

/** The end of a round of the leader's poll: a `Heard` without a time. The event after it gives the time. */
const roundOf = (scope: ScopeState): ClusterEvent => ({ _tag: "Heard", ...watchOf(scope) })

const signOf = (scope: ScopeState, liveUntil: number | undefined): ClusterEvent => {
  const { reported } = scope
  const sign = { ...watchOf(scope), ...(reported?.heardAt === undefined ? {} : { heardAt: reported.heardAt }) }
  return reported?.live === true ? { _tag: "Heard", ...sign, liveUntil } : { _tag: "Lost", ...sign }
}
