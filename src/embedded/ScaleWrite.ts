/** Writes to the scale of a deployment: their media types, dry runs, preconditions and admission. */
import type { IncomingMessage } from "node:http"
import { Effect } from "effect"
import type { ClusterStore, StoredDeployment } from "./ClusterStore.ts"
import type { FaultSwitches } from "./Faults.ts"
import type { KubeRoute } from "./KubeRoute.ts"
import { type KubeStatus, notFound, statusOf } from "./KubeStatus.ts"
import { decodeScaleWrite, readBody, type ScaleWrite } from "./RequestBody.ts"
import { decodeScalePatch, jsonPatchType } from "./ScalePatch.ts"

const scalePatchTypes = new Set([
  jsonPatchType,
  "application/merge-patch+json",
  "application/strategic-merge-patch+json"
])

const contentType = (request: IncomingMessage): string =>
  (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? ""

/** Whether a write is a dry run. Fails with 422 for a value other than `All`. */
const isDryRun = (query: URLSearchParams, verb: "patch" | "update"): Effect.Effect<boolean, KubeStatus> => {
  const values = query.getAll("dryRun")
  if (values.every((value) => value === "All")) return Effect.succeed(values.length > 0)
  const kind = verb === "patch" ? "PatchOptions" : "UpdateOptions"
  const message = `Unsupported value: []string{${values.map((value) => JSON.stringify(value)).join(", ")}}: supported values: "All"`
  return Effect.fail(
    statusOf(422, `${kind}.meta.k8s.io "" is invalid: dryRun: ${message}`, {
      group: "meta.k8s.io",
      kind,
      causes: [{ reason: "FieldValueNotSupported", message, field: "dryRun" }]
    })
  )
}

/** Fails if the version in the body is not the object's, or if the admission webhook denies the write. */
const admitScale = (
  { admissionDenial }: FaultSwitches,
  { name, resourceVersion }: StoredDeployment,
  write: ScaleWrite
): Effect.Effect<void, KubeStatus> => {
  if (write.resourceVersion !== undefined && write.resourceVersion !== String(resourceVersion)) {
    return Effect.fail(
      statusOf(
        409,
        `Operation cannot be fulfilled on deployments.apps ${JSON.stringify(name)}: the object has been modified; ` +
          `please apply your changes to the latest version and try again`,
        { name, group: "apps", kind: "deployments" }
      )
    )
  }
  return admissionDenial === undefined
    ? Effect.void
    : Effect.fail(
        statusOf(
          admissionDenial.status,
          `admission webhook "replicas.example.com" denied the request: ${admissionDenial.message}`
        )
      )
}

/** Writes the scale of a deployment. Returns the deployment after the write, also of a dry run. */
export const writeScale = Effect.fnUntraced(function* (
  { store, switches }: { readonly store: ClusterStore; readonly switches: FaultSwitches },
  request: IncomingMessage,
  query: URLSearchParams,
  { name, namespace }: Extract<KubeRoute["target"], { readonly _tag: "Scale" }>,
  verb: "patch" | "update"
) {
  const type = contentType(request)
  if (verb === "patch" ? !scalePatchTypes.has(type) : type !== "application/json" && type !== "") {
    return yield* statusOf(
      415,
      "the body of the request was in an unknown format - accepted media types include: " +
        (verb === "patch" ? [...scalePatchTypes].join(", ") : "application/json")
    )
  }
  const dryRun = yield* isDryRun(query, verb)
  const body = yield* readBody(request)
  const merged = type === jsonPatchType ? undefined : yield* decodeScaleWrite(name, body)
  // Retries until the object has not changed since it was read, as kube-apiserver does, so that a patch is atomic.
  for (;;) {
    const existing = store.getDeployment(namespace, name)
    if (existing === undefined) return yield* notFound("deployments", "apps", name)
    const write = merged ?? (yield* decodeScalePatch(existing, body))
    yield* admitScale(switches, existing, write)
    if (store.getDeployment(namespace, name) !== existing) continue
    // A Scale without a count means 0; a patch without one changes nothing.
    const replicas = write.replicas ?? (verb === "update" ? 0 : existing.replicas)
    if (replicas === undefined) return existing
    const scaled = dryRun ? { ...existing, replicas } : store.scale(namespace, name, replicas)
    return scaled ?? existing
  }
})
