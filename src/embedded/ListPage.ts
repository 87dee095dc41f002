import { Effect, Option, Schema } from "effect"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { ClusterStore, Snapshot } from "./ClusterStore.ts"
import { rangeOf } from "./ClusterStore.ts"
import type { WireQuirks } from "./Faults.ts"
import { listChunks } from "./KubeObjects.ts"
import { KubeStatus, statusOf, tooLargeResourceVersion, tooOldResourceVersion } from "./KubeStatus.ts"
import { invalidOptions, numberIn, refuseSelectors } from "./ListOptions.ts"

/** One page of a list: its text in chunks, made as they are taken, and how many items it holds. */
export interface ListPage {
  readonly chunks: Iterable<string>
  readonly items: number
}

/** `rv` is -1 for a list that goes on without being consistent with its earlier pages. */
const ContinueToken = Schema.fromJsonString(
  Schema.Struct({ v: Schema.Literal("meta.k8s.io/v1"), rv: Schema.Int, start: Schema.String })
)

const decodeToken = Schema.decodeUnknownOption(ContinueToken)

const encodeToken = (resourceVersion: number, start: string): string =>
  Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: resourceVersion, start })).toString("base64url")

const snapshotAt = (
  store: ClusterStore,
  resource: WatchedResource,
  requested: number | undefined,
  exact: boolean
): Effect.Effect<Snapshot, KubeStatus> => {
  const current = store.resourceVersion
  if (requested !== undefined && requested > current) return Effect.fail(tooLargeResourceVersion(requested, current))
  if (!exact || requested === undefined || requested === current) return Effect.succeed(store.snapshot(resource))
  const kept = store.keptPages(resource, requested)
  return kept === undefined ? Effect.fail(tooOldResourceVersion(requested, current)) : Effect.succeed(kept)
}

const expiredContinue = (start: string): KubeStatus =>
  new KubeStatus({
    code: 410,
    reason: "Expired",
    message:
      "The provided continue parameter is too old to display a consistent list result. You can start a new list " +
      "without the continue parameter, or use the continue token in this response to retrieve the remainder of the " +
      "results. Continuing with the provided token results in an inconsistent list - objects that were created, " +
      "modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    continueToken: encodeToken(-1, start)
  })

/**
 * Serves a list. A first page cut short by `limit` keeps its snapshot, so that the pages after it are of the same
 * version. As in kube-apiserver, `resourceVersion=0` is answered whole, whatever the `limit`.
 *
 * Fails with the Status kube-apiserver answers: 400, 410 Expired, 422 Invalid, 504 Timeout.
 */
export const listPage = Effect.fnUntraced(function* (
  store: ClusterStore,
  resource: WatchedResource,
  namespace: string | undefined,
  query: URLSearchParams,
  maxPageSize: number,
  quirks: WireQuirks
): Effect.fn.Return<ListPage, KubeStatus> {
  yield* refuseSelectors(query)
  const limit = (yield* numberIn(query, "limit")) ?? 0
  const requested = yield* numberIn(query, "resourceVersion")
  const match = query.get("resourceVersionMatch") ?? ""
  const continued = query.get("continue") ?? ""
  if (query.has("sendInitialEvents")) {
    return yield* invalidOptions("sendInitialEvents", "sendInitialEvents is forbidden for list")
  }
  if (match !== "" && requested === undefined) {
    return yield* invalidOptions(
      "resourceVersionMatch",
      "resourceVersionMatch is forbidden unless resourceVersion is provided"
    )
  }
  if (match !== "" && continued !== "") {
    return yield* invalidOptions("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
  }
  if (continued !== "" && requested !== undefined && requested !== 0) {
    return yield* statusOf(400, "specifying resource version is not allowed when using continue")
  }

  let snapshot: Snapshot
  let after: string | undefined
  if (continued === "") {
    snapshot = yield* snapshotAt(store, resource, requested, match === "Exact")
  } else {
    const token = Option.getOrUndefined(decodeToken(Buffer.from(continued, "base64url").toString()))
    if (token === undefined) return yield* statusOf(400, "continue key is not valid")
    after = token.start
    const kept = token.rv === -1 ? store.snapshot(resource) : store.keptPages(resource, token.rv)
    if (kept === undefined) return yield* expiredContinue(after)
    snapshot = kept
  }

  const pageSize = limit === 0 || (requested === 0 && continued === "") ? Infinity : Math.min(limit, maxPageSize)
  const { start, end } = rangeOf(snapshot.items, namespace, after)
  const pageEnd = Math.min(end, start + pageSize)
  const last = snapshot.items[pageEnd - 1]
  const more = pageEnd < end && last !== undefined
  if (more) store.keepPages(resource, snapshot)
  return {
    items: pageEnd - start,
    chunks: listChunks(
      {
        resource,
        resourceVersion: snapshot.resourceVersion,
        continueToken: more ? encodeToken(snapshot.resourceVersion, last.key) : undefined,
        remainingItemCount: more ? end - pageEnd : undefined,
        emptyItems: quirks.emptyItems,
        bareItems: quirks.bareListItems
      },
      snapshot.items,
      start,
      pageEnd
    )
  }
})
