/**
 * The place where liveness and age are decided: whether the leader's watch of a scope is live, and when it last heard the
 * cluster. All times are by Redis' clock.
 */
import { Chunk } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import { unversioned } from "../model/ResourceVersion.ts"
import { type Head, leaderOf, type Look, mapScopes, type Moment, type ScopeState, type State } from "./ReaderState.ts"
import type { LogEntry, ToldEvent } from "./SharedLog.ts"

type Beat = Extract<LogEntry, { readonly _tag: "Beat" }>

/**
 * The watch is lost on `Lost`; any other event proves that it is live. A `Heard` of an unversioned list ends a round of the
 * leader's poll. `isNew`: the event is read as it is written; the reader is not catching up.
 */
export const told = (scope: ScopeState, at: number, event: ToldEvent, isNew: boolean): ScopeState => {
  if (event._tag === "Lost") return { ...scope, live: false }
  const polled = scope.polled || (isNew && event._tag === "Heard" && scope.shown?.version === unversioned)
  return { ...scope, live: true, heardAt: at, polled }
}

/** A new list: the cluster answered, but does not yet watch. */
export const listed = (scope: ScopeState, at: number): ScopeState => ({ ...scope, heardAt: at })

/** A heartbeat names the watches that are live. */
export const beat = (state: State, at: number, { leaseMillis, live }: Beat): State => {
  const agoByName = new Map(live.map(({ agoMillis, scope }) => [scope, agoMillis]))
  return mapScopes({ ...state, silenceMillis: leaseMillis }, (scope) => {
    const ago = agoByName.get(scope.scope.name)
    return ago === undefined ? { ...scope, live: false } : { ...scope, live: true, heardAt: at - ago }
  })
}

/** A snapshot carries the liveness of its leader's watch. */
export const loaded = (scope: ScopeState, { generation, heardAt, live }: Head, look: Look): ScopeState => ({
  ...scope,
  live: live && generation.epoch === leaderOf(look),
  heardAt
})

/** The same for a list that is already shown. Its age does not grow. */
export const resumed = (scope: ScopeState, head: Head, look: Look): ScopeState =>
  loaded(scope, { ...head, heardAt: Math.max(scope.heardAt ?? 0, head.heardAt) }, look)

/** A leader writes an entry with each renewal of its lease, so the rest of the lease tells when it last wrote. */
export const foundLeader = (state: State, look: Look): State => {
  const renewedAt = look.now - Math.max(0, state.silenceMillis - look.leaseLeft)
  return leaderOf(look) === undefined ? state : { ...state, spokeAt: Math.max(state.spokeAt, renewedAt) }
}

/** Nothing is live: a new leader, none at all, or entries that were missed. */
export const noneLive = (state: State): State => mapScopes(state, (scope) => ({ ...scope, live: false }))

/** Redis' clock. */
export const redisNow = (state: State, { millis }: Moment): number => millis + state.clockAhead

/** Whether the leader is gone. */
export const isSilent = (state: State, now: Moment): boolean =>
  redisNow(state, now) - state.spokeAt >= state.silenceMillis

/** Appends to the outbox a `Heard` or a `Lost` of each scope whose liveness or age changed, or that was polled. */
export const report = (state: State, now: Moment): State => {
  const scopes = state.scopes.map((scope) => reportOf(state, scope, now))
  const signs = scopes.flatMap((scope, index) => {
    const before = state.scopes[index]
    return scope.reported === before?.reported ? [] : [signOf(state, scope, now, before?.polled === true)]
  })
  return { ...state, scopes, outbox: Chunk.appendAll(state.outbox, Chunk.fromIterable(signs)) }
}

const reportOf = (state: State, scope: ScopeState, now: Moment): ScopeState => {
  const { heardAt, reported, shown } = scope
  // Without a list there is no age.
  if (shown === undefined) return scope
  const isComplete =
    scope.stale === undefined && state.foreign === undefined && shown.generation.epoch === state.position?.epoch
  const shownHeardAt = isComplete ? heardAt : scope.shownHeardAt
  const live = isComplete && scope.live && !isSilent(state, now)
  // The cache takes any event of an object as a sign of life, even one from before the watch was lost.
  const isNews =
    reported?.live !== live ||
    (live ? scope.polled : reported.heardAt !== shownHeardAt || Chunk.isNonEmpty(state.outbox))
  if (isNews) return { ...scope, shownHeardAt, reported: { live, heardAt: shownHeardAt }, polled: false }
  return shownHeardAt === scope.shownHeardAt ? scope : { ...scope, shownHeardAt }
}

/** `polled`: the leader has just completed a round of its poll. A `Heard` without an age reports that. */
const signOf = (
  state: State,
  { reported, scope, shownHeardAt }: ScopeState,
  now: Moment,
  polled: boolean
): ClusterEvent => {
  const of = { resource: scope.resource, ...(scope.namespace === undefined ? {} : { namespace: scope.namespace }) }
  if (reported?.live === true && polled) return { _tag: "Heard", ...of }
  const age = shownHeardAt === undefined ? {} : { agoMillis: Math.max(0, redisNow(state, now) - shownHeardAt) }
  return { _tag: reported?.live === true ? "Heard" : "Lost", ...of, ...age }
}
