/** What an entry of the shared log changes of the reader's state. */
import { Chunk } from "effect"
import { isOlder, type ResourceVersion } from "../model/ResourceVersion.ts"
import * as Liveness from "./ReaderLiveness.ts"
import {
  act,
  compareScopes,
  log,
  mapScopes,
  markAllStale,
  markStale,
  type ReadEntry,
  replace,
  type State
} from "./ReaderState.ts"
import * as SharedLog from "./SharedLog.ts"
import { watchScopeNameOf } from "./WatchScope.ts"

/** Takes an entry. After a gap, or an entry that cannot be decoded, every snapshot must be loaded. */
export const takeEntry = (state: State, { content, id }: ReadEntry): State => {
  const isNext = state.position === undefined || SharedLog.follows(id, state.position)
  const next = { ...(isNext ? state : Liveness.noneLive(markAllStale(state, "gap"))), position: id }
  if (content !== undefined) return takeContent({ ...next, spokeAt: content.at }, id, content)
  return act(
    { ...markAllStale(next, "undecodable"), loggedUndecodable: true },
    log(
      state.loggedUndecodable ? "Debug" : "Warn",
      "Cannot decode an entry of the shared log: loading all snapshots again",
      { id: SharedLog.formatId(id) }
    )
  )
}

const takeContent = (
  state: State,
  { epoch }: SharedLog.LogId,
  { at, entry }: NonNullable<ReadEntry["content"]>
): State => {
  switch (entry._tag) {
    case "Began":
      return compareScopes(Liveness.noneLive(state), entry.scopes)
    case "Told":
      return entry.events.reduce((state, event) => takeEvent(state, epoch, at, event), state)
    case "Listed":
      return mapScopes(state, (scope) =>
        scope.scope.name === entry.scope ? { ...markStale(Liveness.listed(scope, at), "listed"), retryAt: 0 } : scope
      )
    case "Beat":
      return Liveness.beat(state, at, entry)
    case "Ended":
      return Liveness.noneLive(state)
  }
}

/** Takes an event into the loaded snapshot, or else into the shown list. A stale list waits for its snapshot. */
const takeEvent = (state: State, epoch: number, at: number, event: SharedLog.ToldEvent): State => {
  const name = watchScopeNameOf(event, state.settings.perNamespace)
  const scope = state.scopes.find((one) => one.scope.name === name)
  if (scope === undefined) return state
  const told = Liveness.told(scope, at, event)
  if (event._tag === "Heard" || event._tag === "Lost") return replace(state, told)
  const { loading } = scope
  const list = loading ?? (scope.stale === undefined ? scope.shown : undefined)
  // The list of a later leader already holds the event.
  if (list?.generation.epoch !== epoch) return replace(state, told)
  const version = newer(list.version, versionOf(event))
  if (loading !== undefined) {
    return replace(state, { ...told, loading: { ...loading, version, events: Chunk.append(loading.events, event) } })
  }
  const next = replace(state, { ...told, shown: { generation: list.generation, version } })
  return { ...next, outbox: Chunk.append(state.outbox, event) }
}

const versionOf = (event: Exclude<SharedLog.ToldEvent, { readonly _tag: "Heard" | "Lost" }>): ResourceVersion =>
  event._tag === "NamespaceDeleted" || event._tag === "DeploymentDeleted"
    ? event.resourceVersion
    : event.object.resourceVersion

const newer = (a: ResourceVersion, b: ResourceVersion): ResourceVersion => (isOlder(b, a) ? a : b)
