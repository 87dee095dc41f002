import { Clock, Duration, Effect } from "effect"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { ClusterStore } from "./ClusterStore.ts"
import type { WireQuirks } from "./Faults.ts"
import type { KubeStatus } from "./KubeStatus.ts"
import { tooLargeResourceVersion, tooOldResourceVersion } from "./KubeStatus.ts"
import { flagIn } from "./KubeRoute.ts"
import { invalidOptions, numberIn, refuseSelectors } from "./ListPage.ts"
import type { WatchPlan } from "./OpenWatch.ts"

/** Settings of the embedded cluster for watches. */
export interface WatchSettings {
  readonly bookmarkInterval: Duration.Duration
  /** Whether `sendInitialEvents` is supported. A server without the WatchList feature rejects it with 422. */
  readonly streamingLists: boolean
}

/** How a watch begins: served as planned, or rejected with `gone` in the stream. */
export type WatchStart =
  { readonly _tag: "Serve"; readonly plan: WatchPlan } | { readonly _tag: "Gone"; readonly gone: KubeStatus }

const defaultTimeoutSeconds = 1800

/**
 * Plans a requested watch. Fails as kube-apiserver does, with 400, 410 (if the quirks want it as a status), 422 Invalid
 * or 504 Timeout.
 */
export const startWatch = Effect.fnUntraced(function* (
  store: ClusterStore,
  resource: WatchedResource,
  namespace: string | undefined,
  query: URLSearchParams,
  settings: WatchSettings,
  quirks: WireQuirks
): Effect.fn.Return<WatchStart, KubeStatus> {
  yield* refuseSelectors(query)
  const requested = (yield* numberIn(query, "resourceVersion")) ?? 0
  // Kubernetes treats 0 as absent.
  const timeoutSeconds = (yield* numberIn(query, "timeoutSeconds")) || defaultTimeoutSeconds
  const bookmarks = flagIn(query, "allowWatchBookmarks") ?? false
  const ignored = quirks.ignoreSendInitialEvents && query.has("sendInitialEvents")
  const sendInitialEvents = ignored ? undefined : flagIn(query, "sendInitialEvents")
  const match = ignored ? "" : (query.get("resourceVersionMatch") ?? "")
  if (sendInitialEvents === undefined && match !== "") {
    return yield* invalidOptions(
      "resourceVersionMatch",
      "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
    )
  }
  if (sendInitialEvents !== undefined && !settings.streamingLists) {
    return yield* invalidOptions(
      "sendInitialEvents",
      "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
    )
  }
  if (sendInitialEvents !== undefined && match !== "NotOlderThan") {
    return yield* invalidOptions(
      "resourceVersionMatch",
      "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    )
  }

  const current = store.resourceVersion
  if (requested > current && (sendInitialEvents !== undefined || !quirks.silentFutureWatch)) {
    return yield* tooLargeResourceVersion(requested, current)
  }
  const now = yield* Clock.currentTimeMillis
  const common = {
    resource,
    namespace,
    bareObjects: quirks.bareWatchObjects,
    deadline: now + timeoutSeconds * 1000,
    bookmarkInterval: bookmarks ? Duration.toMillis(settings.bookmarkInterval) : Infinity
  }
  // A watch from no version, or from 0, begins with the current objects even without `sendInitialEvents`.
  if (sendInitialEvents === true || (sendInitialEvents === undefined && requested === 0)) {
    const initial = store.snapshot(resource)
    const position = store.latest(resource)
    const markInitialEnd = sendInitialEvents === true && bookmarks
    return {
      _tag: "Serve",
      plan: { ...common, after: initial.resourceVersion, position, initial, markInitialEnd }
    }
  }
  const after = requested === 0 ? current : requested
  const position = store.resumeAt(resource, after)
  if (position === undefined) {
    const gone = tooOldResourceVersion(after, store.oldest(resource))
    return quirks.goneMode === "status" ? yield* gone : { _tag: "Gone", gone }
  }
  return { _tag: "Serve", plan: { ...common, after, position, initial: undefined, markInitialEnd: false } }
})
