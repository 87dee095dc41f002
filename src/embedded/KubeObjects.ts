/**
 * Renders the objects of the embedded cluster as kube-apiserver does. Text is rendered when it is sent, and is not
 * kept.
 */
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { ChangeType, StoredDeployment, StoredNamespace, StoredObject } from "./ClusterStore.ts"

const quote = JSON.stringify

const timestamp = (millis: number): string => `${new Date(millis).toISOString().slice(0, 19)}Z`

/** The uid of the object with this serial number. */
export const uidOf = (uid: number): string => `e3b0c442-98fc-4c14-9afb-${uid.toString(16).padStart(12, "0")}`

const paddings = new Map<number, string>()

/** `managedFields` of about `bytes` bytes, memoized by size. */
const managedFields = (bytes: number): string => {
  if (bytes <= 0) return ""
  const known = paddings.get(bytes)
  if (known !== undefined) return known
  const fields: Array<string> = []
  for (let size = 230, index = 0; size < bytes; index += 1) {
    const field = `"k:{\\"name\\":\\"setting-${index}\\"}":{".":{},"f:name":{},"f:value":{}}`
    fields.push(field)
    size += field.length + 1
  }
  const rendered =
    `,"managedFields":[{"manager":"kubectl-client-side-apply","operation":"Update","apiVersion":"apps/v1",` +
    `"time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:template":{"f:spec":` +
    `{"f:containers":{${fields.join(",")}}}}}}}]`
  paddings.set(bytes, rendered)
  return rendered
}

const namespaceJson = (namespace: StoredNamespace, bare: boolean): string =>
  `{${bare ? "" : `"kind":"Namespace","apiVersion":"v1",`}"metadata":{"name":${quote(namespace.name)},` +
  `"uid":"${uidOf(namespace.uid)}","resourceVersion":"${namespace.resourceVersion}",` +
  `"creationTimestamp":"${timestamp(namespace.createdAt)}",` +
  (namespace.terminating ? `"deletionTimestamp":"${timestamp(namespace.createdAt)}",` : "") +
  `"labels":{"kubernetes.io/metadata.name":${quote(namespace.name)}}},"spec":{"finalizers":["kubernetes"]},` +
  `"status":{"phase":"${namespace.terminating ? "Terminating" : "Active"}"}}`

const deploymentJson = (deployment: StoredDeployment, bare: boolean): string => {
  const name = quote(deployment.name)
  const labels = `{"app.kubernetes.io/name":${name}}`
  const observed = deployment.replicas ?? 1
  return (
    `{${bare ? "" : `"kind":"Deployment","apiVersion":"apps/v1",`}"metadata":{"name":${name},` +
    `"namespace":${quote(deployment.namespace)},"uid":"${uidOf(deployment.uid)}",` +
    `"resourceVersion":"${deployment.resourceVersion}","generation":${deployment.generation},` +
    `"creationTimestamp":"${timestamp(deployment.createdAt)}","labels":${labels},` +
    `"annotations":{"deployment.kubernetes.io/revision":"1"}${managedFields(deployment.padding)}},` +
    `"spec":{${deployment.replicas === undefined ? "" : `"replicas":${deployment.replicas},`}` +
    `"selector":{"matchLabels":${labels}},"template":{"metadata":{"creationTimestamp":null,"labels":${labels}},` +
    `"spec":{"containers":[{"name":${name},"image":${quote(`registry.local/${deployment.name}:1.0.0`)},` +
    `"resources":{},"imagePullPolicy":"IfNotPresent"}],"restartPolicy":"Always","dnsPolicy":"ClusterFirst"}},` +
    `"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"25%","maxSurge":"25%"}},` +
    `"revisionHistoryLimit":10,"progressDeadlineSeconds":600},"status":{"observedGeneration":` +
    `${deployment.generation}${observed === 0 ? "" : `,"replicas":${observed},"readyReplicas":${observed}`}}}`
  )
}

/** The JSON of the object; `bare` omits `kind` and `apiVersion`. */
export const objectJson = (object: StoredObject, bare: boolean): string =>
  object.resource === "namespaces" ? namespaceJson(object, bare) : deploymentJson(object, bare)

/** The `autoscaling/v1` Scale of a deployment. As with Go's `omitempty`, a count of 0 is absent from `spec`. */
export const scaleJson = (deployment: StoredDeployment): string => {
  const replicas = deployment.replicas ?? 1
  return (
    `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":${quote(deployment.name)},` +
    `"namespace":${quote(deployment.namespace)},"uid":"${uidOf(deployment.uid)}",` +
    `"resourceVersion":"${deployment.resourceVersion}","creationTimestamp":"${timestamp(deployment.createdAt)}"},` +
    `"spec":{${replicas === 0 ? "" : `"replicas":${replicas}`}},"status":{"replicas":${replicas},` +
    `"selector":${quote(`app.kubernetes.io/name=${deployment.name}`)}}}`
  )
}

/** The line of a watch for a change. */
export const changeLine = (type: ChangeType, object: StoredObject, bare: boolean): string =>
  `{"type":"${type}","object":${objectJson(object, bare)}}\n`

/** The ERROR line of a watch with a Status. */
export const errorLine = (status: string): string => `{"type":"ERROR","object":${status}}\n`

const typeMeta = (resource: WatchedResource, list: "" | "List"): string =>
  resource === "namespaces"
    ? `"kind":"Namespace${list}","apiVersion":"v1"`
    : `"kind":"Deployment${list}","apiVersion":"apps/v1"`

/** A BOOKMARK line: kind, apiVersion and resourceVersion. `initialEventsEnd` marks the end of a streaming list. */
export const bookmarkLine = (resource: WatchedResource, resourceVersion: number, initialEventsEnd: boolean): string =>
  `{"type":"BOOKMARK","object":{${typeMeta(resource, "")},"metadata":{"resourceVersion":"${resourceVersion}"` +
  `${initialEventsEnd ? `,"annotations":{"k8s.io/initial-events-end":"true"}` : ""}}}}\n`

/** `items` of an empty list: Go renders a nil slice as null, and some servers omit the field. */
export type EmptyItems = "array" | "null" | "absent"

/** A list response without its items. */
export interface ListFrame {
  readonly resource: WatchedResource
  readonly resourceVersion: number
  readonly continueToken: string | undefined
  readonly remainingItemCount: number | undefined
  readonly emptyItems: EmptyItems
  readonly bareItems: boolean
}

const chunkSize = 65_536

/** The text of a list of `items[start, end)`, in chunks of about 64 kB, rendered on demand. */
export function* listChunks(
  frame: ListFrame,
  items: ReadonlyArray<StoredObject>,
  start: number,
  end: number
): Generator<string> {
  const metadata =
    `{"resourceVersion":"${frame.resourceVersion}"` +
    (frame.continueToken === undefined ? "" : `,"continue":${quote(frame.continueToken)}`) +
    (frame.remainingItemCount === undefined ? "" : `,"remainingItemCount":${frame.remainingItemCount}`) +
    "}"
  const opening = `{${typeMeta(frame.resource, "List")},"metadata":${metadata}`
  if (start >= end && frame.emptyItems !== "array") {
    yield `${opening}${frame.emptyItems === "null" ? `,"items":null` : ""}}`
    return
  }
  let chunk = `${opening},"items":[`
  for (let index = start; index < end; index += 1) {
    const object = items[index]
    if (object === undefined) continue
    chunk += (index === start ? "" : ",") + objectJson(object, frame.bareItems)
    if (chunk.length >= chunkSize) {
      yield chunk
      chunk = ""
    }
  }
  yield `${chunk}]}`
}
