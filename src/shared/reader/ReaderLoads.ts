/**
 * Loads the snapshots of stale scopes, one after the other, and shows them together.
 *
 * A load reads the head of the hash, scans it page by page, and reads the head again. Between the pages the reader follows
 * the log, so that it does not fall behind, and keeps the scope's events. The leader's scripts change the hash and the log
 * in one step. So a scanned field is at least as new as the beginning of the scan, and the events since then bring all fields
 * to the same state.
 *
 * If one of these entries is missing or undecodable, or if the scope has a new list, the events cannot do that. Then the scan
 * is shown without them, with the version and the age of its beginning: no object is older. The scope stays stale and is
 * loaded again.
 */
import { Chunk, Result } from "effect"
import * as Liveness from "./ReaderLiveness.ts"
import {
  act,
  type Batch,
  type Emission,
  type Head,
  leaderOf,
  type Loading,
  type Loads,
  log,
  type Look,
  mayShow,
  type Moment,
  type Page,
  replace,
  type ScopeState,
  type State
} from "./ReaderState.ts"

/** Replies of the log between two pages, at most: entries can come faster than they are read. */
const logReadsAtOnce = 16

const isDue = (state: State, { loading, retryAt, stale }: ScopeState, { millis }: Moment): boolean =>
  stale !== undefined && loading === undefined && state.foreign === undefined && millis >= retryAt

/** Whether a load is due. */
export const areDue = (state: State, now: Moment): boolean => state.scopes.some((scope) => isDue(state, scope, now))

/** When the next load is due. */
export const dueAt = ({ foreign, scopes }: State): number =>
  foreign === undefined
    ? scopes.reduce((at, { retryAt, stale }) => (stale === undefined ? at : Math.min(at, retryAt)), Infinity)
    : Infinity

/** Begins the loads that are due. */
export const begin = (state: State, look: Look, now: Moment): State => {
  const pending = state.scopes.filter((scope) => isDue(state, scope, now)).map(({ scope }) => scope)
  return { ...state, loads: { look, pending, cursor: undefined, logReads: 0 } }
}

/** The scope has a new list. Cancels its load if it has not begun, because its hash is replaced. */
export const replaced = (state: State, name: string): State => {
  const { loads, scopes } = state
  if (loads === undefined) return state
  const isBegun = scopes.some(({ loading, scope }) => scope.name === name && loading !== undefined)
  return isBegun ? state : { ...state, loads: { ...loads, pending: loads.pending.filter((one) => one.name !== name) } }
}

/** Whether the log must be read before the next page is. */
export const isBehindLog = ({ logReads }: Loads): boolean => logReads > 0

/** The log was read between two pages; once more if there are more entries. */
export const logRead = (state: State, { isFull }: Pick<Batch, "isFull">): State => {
  const { loads } = state
  if (loads === undefined) return state
  return { ...state, loads: { ...loads, logReads: isFull ? Math.max(0, loads.logReads - 1) : 0 } }
}

/** Goes on with the scan, or with the next scope; at the end looks where the log ends. */
export const proceed = (state: State, loads: Loads, now: Moment): State => {
  const found = current(state)
  if (found === undefined) return { ...state, loads: undefined, request: { _tag: "Look", why: { _tag: "Loaded" } } }
  const { loading, scope } = found
  const key = loads.look.keys.get(scope.name)
  if (key === undefined) {
    const next = failed(state, found, "there is no snapshot yet", true, now)
    return next.loads === undefined ? next : proceed(next, next.loads, now)
  }
  const { cursor } = loads
  if (loading === undefined || (cursor === undefined && loading.objects !== undefined)) {
    return { ...state, request: { _tag: "ReadHead", scope, key } }
  }
  return { ...state, request: { _tag: "ReadPage", scope, key, cursor: cursor ?? "0", objects: loading.objects } }
}

/** The scope that is being loaded. */
const current = ({ loads, scopes }: State): ScopeState | undefined =>
  scopes.find(({ scope }) => scope === loads?.pending[0])

/** Goes on with the next scope. */
const finished = (state: State): State => {
  const { loads } = state
  if (loads === undefined) return state
  return { ...state, loads: { ...loads, pending: loads.pending.slice(1), cursor: undefined, logReads: 0 } }
}

/** Takes the head of a snapshot, before or after its scan. */
export const headRead = (state: State, head: Head | undefined, now: Moment): State => {
  const scope = current(state)
  if (scope === undefined || state.loads === undefined) return state
  const { loading } = scope
  // A hash that expired during the scan has no head any more.
  if (head === undefined) return failed(state, scope, "the snapshot is gone or incomplete", false, now)
  const heardAt = Liveness.heardAtOf(state, head, now)
  const { look } = state.loads
  const { generation, version } = head
  if (loading === undefined) {
    if (!mayShow(head, scope.shown, leaderOf(look))) {
      return failed(state, scope, "the snapshot is older than what is shown", true, now)
    }
    const began = { version, heardAt }
    const empty = { objects: undefined, events: Chunk.empty(), isScanned: false, isTorn: false }
    return replace(state, { ...scope, loading: { generation, ...began, began, ...empty } })
  }
  const isSame = generation.epoch === loading.generation.epoch && generation.number === loading.generation.number
  if (!isSame) return failed(state, scope, "the snapshot was replaced", false, now)
  const scanned: Loading = { ...loading, version, heardAt, isScanned: true }
  if (loading.isTorn) return finished(replace(state, { ...scope, loading: scanned }))
  return finished(replace(state, { ...Liveness.loaded(scope, head, heardAt, look), loading: scanned }))
}

/** Takes a page of a scan. */
export const pageRead = (state: State, page: Result.Result<Page, string>, now: Moment): State => {
  const scope = current(state)
  const { loads } = state
  if (scope?.loading === undefined || loads === undefined) return state
  if (Result.isFailure(page)) return failed(state, scope, page.failure, false, now)
  const { cursor, objects } = page.success
  return {
    ...replace(state, { ...scope, loading: { ...scope.loading, objects } }),
    loads: { ...loads, cursor, logReads: cursor === undefined ? 0 : logReadsAtOnce }
  }
}

const failed = (state: State, scope: ScopeState, problem: string, isExpected: boolean, now: Moment): State =>
  finished(notLoaded(state, { ...scope, loading: undefined }, problem, isExpected, now))

/** Retries later. After an expected failure an entry of the log triggers the next load, so the wait is the longest. */
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

/** Puts the loaded snapshots into the outbox. */
export const show = (state: State, now: Moment): State =>
  state.scopes.reduce((state, scope) => showScope(state, scope, now), state)

const showScope = (state: State, scope: ScopeState, now: Moment): State => {
  const { failures, loading, stale } = scope
  if (loading?.objects === undefined || !loading.isScanned || stale === undefined) return state
  const { began, events, generation, isTorn, objects, version } = loading
  // Some objects may be as old as the beginning of the scan, others newer. `shown` gets the newer version, so no older list may follow.
  const oldest = isTorn ? began : loading
  const snapshot: Emission = { _tag: "Snapshot", scope: scope.scope, objects, events, version: oldest.version }
  const retryAt = isTorn && stale !== "listed" ? now.millis + state.settings.firstMillis * now.jitter : scope.retryAt
  const next = replace(
    { ...state, loggedUndecodable: isTorn && state.loggedUndecodable, outbox: Chunk.append(state.outbox, snapshot) },
    {
      ...scope,
      shown: { generation, version },
      stale: isTorn ? stale : undefined,
      loading: undefined,
      retryAt,
      shownHeardAt: oldest.heardAt,
      reported: undefined,
      failures: 0
    }
  )
  return act(
    failures === 0 ? next : act(next, log("Info", "Loaded the snapshot from Redis again", { scope: scope.scope.name })),
    { _tag: "ObserveLoaded", reason: stale }
  )
}
