/** Applies entries of the shared log to the reader's state. */
import { Chunk } from "effect"
import { isOlder, type ResourceVersion } from "../../model/ResourceVersion.ts"
import * as Liveness from "./ReaderLiveness.ts"
import * as Loads from "./ReaderLoads.ts"
import {
  act,
  compareLeader,
  log,
  mapScopes,
  markAllStale,
  markStale,
  type Moment,
  type ReadEntry,
  type ScopeState,
  type State
} from "./ReaderState.ts"
import * as SharedLog from "../SharedLog.ts"
import { watchScopeNameOf } from "../WatchScope.ts"

/** Takes an entry. After a gap, or an entry that cannot be decoded, every snapshot must be loaded. */
export const takeEntry = (state: State, { content, id }: ReadEntry, now: Moment): State => {
  const isNext = state.position === undefined || SharedLog.follows(id, state.position)
  const next = { ...(isNext ? state : Liveness.noneLive(markAllStale(state, "gap"))), position: id }
  if (content !== undefined) {
    const [spoken, at] = Liveness.spoke(next, id, content.at, now)
    return takeContent(spoken, id, at, content.entry)
  }
  return act(
    { ...markAllStale(next, "undecodable"), loggedUndecodable: true },
    log(
      state.loggedUndecodable ? "Debug" : "Warn",
      "Cannot decode an entry of the shared log: loading all snapshots again",
      { id: SharedLog.formatId(id) }
    )
  )
}

const takeContent = (state: State, { epoch }: SharedLog.LogId, at: number, entry: SharedLog.LogEntry): State => {
  switch (entry._tag) {
    case "Began":
      return compareLeader(Liveness.noneLive(state), { cluster: entry.cluster, watched: entry.scopes })
    case "Told":
      return takeEvents(state, epoch, at, entry.events)
    case "Listed":
      return mapScopes(Loads.replaced(state, entry.scope), (scope) =>
        scope.scope.name === entry.scope ? { ...markStale(Liveness.listed(scope, at), "listed"), retryAt: 0 } : scope
      )
    case "Beat":
      return Liveness.beat(state, at, entry)
    case "Ended":
      return Liveness.noneLive(state)
  }
}

const takeEvents = (state: State, epoch: number, at: number, events: ReadonlyArray<SharedLog.ToldEvent>): State => {
  const { indexes, perNamespace } = state.settings
  const scopes = [...state.scopes]
  const emitted: Array<SharedLog.ToldEvent> = []
  for (const event of events) {
    const index = indexes.get(watchScopeNameOf(event, perNamespace)) ?? -1
    const scope = scopes[index]
    if (scope === undefined) continue
    const next = takeEvent(Liveness.told(scope, at, event, state.readTo === undefined), epoch, event)
    scopes[index] = next
    if (next.shown !== scope.shown) emitted.push(event)
  }
  return { ...state, scopes, outbox: Chunk.appendAll(state.outbox, Chunk.fromIterable(emitted)) }
}

/** Takes an event into the loaded snapshot, or else into the shown list. A stale list waits for its snapshot. */
const takeEvent = (told: ScopeState, epoch: number, event: SharedLog.ToldEvent): ScopeState => {
  if (event._tag === "Heard" || event._tag === "Lost") return told
  const { loading, shown, stale } = told
  if (loading?.isTorn === true) return told
  const list = loading ?? (stale === undefined ? shown : undefined)
  // The list of a later leader already holds the event.
  if (list?.generation.epoch !== epoch) return told
  const version = newer(list.version, versionOf(event))
  return loading === undefined
    ? { ...told, shown: { generation: list.generation, version } }
    : { ...told, loading: { ...loading, version, events: Chunk.append(loading.events, event) } }
}

const versionOf = (event: Exclude<SharedLog.ToldEvent, { readonly _tag: "Heard" | "Lost" }>): ResourceVersion =>
  event._tag === "NamespaceDeleted" || event._tag === "DeploymentDeleted"
    ? event.resourceVersion
    : event.object.resourceVersion

const newer = (a: ResourceVersion, b: ResourceVersion): ResourceVersion => (isOlder(b, a) ? a : b)
