import { Effect, Option, Schema } from "effect"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { ClusterStore, Snapshot } from "./ClusterStore.ts"
import { rangeOf } from "./ClusterStore.ts"
import type { WireQuirks } from "./Faults.ts"
import { KubeStatus, statusOf, tooLargeResourceVersion, tooOldResourceVersion } from "./KubeStatus.ts"
import type { BodyChunk, ObjectEncoding } from "./wire/ObjectEncoding.ts"

const decimal = /^(?:0|[1-9][0-9]{0,15})$/

/** A numeric parameter; undefined if absent or empty. Fails with 400 unless it is a decimal number. */
export const numberIn = (query: URLSearchParams, name: string): Effect.Effect<number | undefined, KubeStatus> => {
  const text = query.get(name)
  if (text === null || text === "") return Effect.succeed(undefined)
  return decimal.test(text)
    ? Effect.succeed(Number(text))
    : Effect.fail(statusOf(400, `invalid value for ${name}: ${JSON.stringify(text)}`))
}

/** 422: the list options exclude each other. */
export const invalidOptions = (field: string, message: string): KubeStatus =>
  statusOf(422, `ListOptions.meta.k8s.io "" is invalid: ${field}: Forbidden: ${message}`, {
    group: "meta.k8s.io",
    kind: "ListOptions",
    causes: [{ reason: "FieldValueForbidden", message: `Forbidden: ${message}`, field }]
  })

/** Fails with 400 for a selector: they are not supported, and ignoring one would give a wrong list. */
export const refuseSelectors = (query: URLSearchParams): Effect.Effect<void, KubeStatus> =>
  (query.get("labelSelector") ?? "") !== "" || (query.get("fieldSelector") ?? "") !== ""
    ? Effect.fail(statusOf(400, "selectors are not supported by the embedded cluster"))
    : Effect.void

/** A page of a list: its chunks, rendered on demand, and the number of its items. */
export interface ListPage {
  readonly chunks: Iterable<BodyChunk>
  readonly items: number
}

/** `rv` is -1 for a list that continues inconsistently with its earlier pages. */
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
 * Serves a page of a list. The snapshot of a first page is kept, so that the next pages are of the same version. As in
 * kube-apiserver, a request with `resourceVersion=0` gets the whole list, whatever its `limit`.
 *
 * Fails as kube-apiserver does, with 400, 410 Expired, 422 Invalid or 504 Timeout.
 */
export const listPage = Effect.fnUntraced(function* (
  store: ClusterStore,
  resource: WatchedResource,
  namespace: string | undefined,
  query: URLSearchParams,
  maxPageSize: number,
  quirks: WireQuirks,
  encoding: ObjectEncoding
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
    chunks: encoding.list(
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
