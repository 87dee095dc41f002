/** The state of a leader: the lists that it wrote, the liveness of its watches, and its position in the log. */
import type { ClusterEvent } from "../../model/ClusterEvent.ts"
import { isOlder, type ResourceVersion } from "../../model/ResourceVersion.ts"
import { metaFields } from "../redis/Keys.ts"
import type { NextEntry, ScopeChange } from "../redis/Scripts.ts"
import * as SharedLog from "../SharedLog.ts"
import { changeOf, type ListEvent } from "../SharedObject.ts"
import { type WatchScope, watchScopeNameOf } from "../WatchScope.ts"

/** A leader's state of one scope. */
export interface LedScope {
  readonly scope: WatchScope
  /** The key of this leader's last list, and the version that events have brought it to. */
  readonly list: { readonly generation: string; readonly version: ResourceVersion } | undefined
  /** The key that readers use: of this leader's list, or of an earlier leader's. */
  readonly inUse: string | undefined
  readonly live: boolean
  /** When the watch last heard the cluster, by the monotonic clock. */
  readonly heardAt: number | undefined
}

export interface State {
  /** The token of the lease. */
  readonly token: string
  /** The last entry that this leader wrote. */
  readonly last: SharedLog.LogId
  /** How many lists it has begun to write. */
  readonly lists: number
  readonly perNamespace: boolean
  readonly scopes: ReadonlyArray<LedScope>
  /** Whether a write waits because Redis is out of memory. */
  readonly isOutOfMemory: boolean
}

/** The state of a candidate. */
export const initial = (token: string, scopes: ReadonlyArray<WatchScope>, perNamespace: boolean): State => ({
  token,
  last: SharedLog.start,
  lists: 0,
  perNamespace,
  scopes: scopes.map((scope) => ({ scope, list: undefined, inUse: undefined, live: false, heardAt: undefined })),
  isOutOfMemory: false
})

export const isList = (event: ClusterEvent): event is ListEvent =>
  event._tag === "NamespacesReplaced" || event._tag === "DeploymentsReplaced"

/** The scope of an event. */
export const scopeOf = ({ perNamespace, scopes }: State, event: ClusterEvent): LedScope | undefined => {
  const name = watchScopeNameOf(event, perNamespace)
  return scopes.find(({ scope }) => scope.name === name)
}

/** Whether every watch is live and has a list. */
export const seesAll = ({ scopes }: State): boolean => scopes.every(({ list, live }) => live && list !== undefined)

const change = (state: State, name: string, changed: (scope: LedScope) => LedScope): State => ({
  ...state,
  scopes: state.scopes.map((one) => (one.scope.name === name ? changed(one) : one))
})

export const inUse = (state: State, name: string, generation: string): State =>
  change(state, name, (one) => ({ ...one, inUse: generation }))

/** Begins or ends the wait for memory. */
export const outOfMemory = (state: State, isOutOfMemory: boolean): State => ({ ...state, isOutOfMemory })

/** Readers use this list from now on. It arrived at `heardAt`. */
export const committed = (
  state: State,
  name: string,
  { generation, heardAt, version }: { generation: string; version: ResourceVersion; heardAt: number }
): State => change(state, name, (one) => ({ ...one, inUse: generation, list: { generation, version }, heardAt }))

/** The watch heard the cluster, or was lost. */
const heard = (scope: LedScope, event: ClusterEvent, now: number): LedScope =>
  event._tag === "Lost" ? { ...scope, live: false } : { ...scope, heardAt: now, live: true }

/** Numbers a list that is about to be written. A list alone does not make the watch live. */
export const begun = (state: State): State => ({ ...state, lists: state.lists + 1 })

/** Applies events, and returns the changes to the scopes' hashes. */
export const takeEvents = (
  state: State,
  events: ReadonlyArray<ClusterEvent>,
  now: number
): readonly [State, ReadonlyArray<ScopeChange>] => {
  const fields = new Map<string, Map<string, string | undefined>>()
  const next = events.reduce((state, event) => {
    const found = scopeOf(state, event)
    if (found === undefined) return state
    const { name } = found.scope
    const changes = fields.get(name) ?? new Map<string, string | undefined>()
    fields.set(name, changes)
    const changed = found.list === undefined ? undefined : changeOf(event)
    if (changed !== undefined) changes.set(changed.field, changed.text)
    return change(state, name, (one) => moved(heard(one, event, now), changed?.resourceVersion))
  }, state)
  return [next, next.scopes.flatMap((one) => changeTo(one, fields.get(one.scope.name), now))]
}

const moved = (scope: LedScope, version: ResourceVersion | undefined): LedScope =>
  scope.list === undefined || version === undefined || isOlder(version, scope.list.version)
    ? scope
    : { ...scope, list: { ...scope.list, version } }

const noFields: ReadonlyMap<string, string | undefined> = new Map()

/** The changes of a heartbeat: the age and the liveness of every scope. */
export const beatChanges = ({ scopes }: State, now: number): ReadonlyArray<ScopeChange> =>
  scopes.flatMap((scope) => changeTo(scope, noFields, now))

/** The change of a scope's hash; none if nothing touched the scope, or if it has no list yet. */
const changeTo = (
  { heardAt, list, live, scope }: LedScope,
  fields: ReadonlyMap<string, string | undefined> | undefined,
  now: number
): ReadonlyArray<ScopeChange> => {
  if (list === undefined || fields === undefined) return []
  const set = new Map<string, string>([
    [metaFields.version, list.version],
    [metaFields.live, live ? "1" : "0"]
  ])
  for (const [field, text] of fields) if (text !== undefined) set.set(field, text)
  const remove = Array.from(fields, ([field, text]) => (text === undefined ? [field] : [])).flat()
  const agoMillis = heardAt === undefined ? undefined : now - heardAt
  return [{ scope: scope.name, generation: list.generation, agoMillis, set, remove }]
}

/** A heartbeat with the live watches, and how long ago each was heard. */
export const fullBeat = ({ scopes }: State, everyMillis: number, now: number): SharedLog.LogEntry => ({
  _tag: "Beat",
  everyMillis,
  live: scopes.flatMap(({ heardAt, live, scope }) =>
    live && heardAt !== undefined ? [{ scope: scope.name, agoMillis: Math.max(0, Math.ceil(now - heardAt)) }] : []
  )
})

const nextId = ({ last }: State): SharedLog.LogId => ({ ...last, seq: last.seq + 1 })

/** The next entry, its position, and the time of its content by Redis' clock. */
export const nextEntry = (state: State, entry: SharedLog.LogEntry, maxEntries: number, at: number): NextEntry => ({
  token: state.token,
  last: SharedLog.formatId(state.last),
  id: SharedLog.formatId(nextId(state)),
  entry: SharedLog.encode(entry),
  maxEntries,
  at
})

/** The entry was written. */
export const written = (state: State): State => ({ ...state, last: nextId(state) })
