/**
 * The content of the embedded cluster's objects, and their JSON as kube-apiserver renders it. JSON is rendered when it is
 * sent, and is not kept.
 */
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { StoredDeployment, StoredNamespace, StoredObject } from "./ClusterStore.ts"

const quote = JSON.stringify

const timestamp = (millis: number): string => `${new Date(millis).toISOString().slice(0, 19)}Z`

/** The uid of the object with this serial number. */
export const uidOf = (uid: number): string => `e3b0c442-98fc-4c14-9afb-${uid.toString(16).padStart(12, "0")}`

/** The kind of the resource's objects. */
export const kindOf = (resource: WatchedResource): string => (resource === "namespaces" ? "Namespace" : "Deployment")

/** The API version of the resource. */
export const apiVersionOf = (resource: WatchedResource): string => (resource === "namespaces" ? "v1" : "apps/v1")

/** The image of a deployment's container. */
export const imageOf = (deployment: StoredDeployment): string => `registry.local/${deployment.name}:1.0.0`

/** The time of an entry in `managedFields`. */
export const managedAt = Date.UTC(2026, 0, 1)

/** Memoizes a rendering of `managedFields` by their size. */
export const byPadding = <A>(render: (bytes: number) => A): ((bytes: number) => A) => {
  const rendered = new Map<number, A>()
  return (bytes) => {
    const known = rendered.get(bytes)
    if (known !== undefined) return known
    const made = render(bytes)
    rendered.set(bytes, made)
    return made
  }
}

/** The `fieldsV1` of an entry in `managedFields` of about `bytes` bytes. */
export const fieldsV1 = (bytes: number): string => {
  const fields: Array<string> = []
  for (let size = 230, index = 0; size < bytes; index += 1) {
    const field = `"k:{\\"name\\":\\"setting-${index}\\"}":{".":{},"f:name":{},"f:value":{}}`
    fields.push(field)
    size += field.length + 1
  }
  return `{"f:spec":{"f:template":{"f:spec":{"f:containers":{${fields.join(",")}}}}}}`
}

const managedFields = byPadding((bytes) =>
  bytes <= 0
    ? ""
    : `,"managedFields":[{"manager":"kubectl-client-side-apply","operation":"Update","apiVersion":"apps/v1",` +
      `"time":"${timestamp(managedAt)}","fieldsType":"FieldsV1","fieldsV1":${fieldsV1(bytes)}}]`
)

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
    `"spec":{"containers":[{"name":${name},"image":${quote(imageOf(deployment))},` +
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
