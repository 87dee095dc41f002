/** The objects of the read model as they stand in Redis: fields of a hash, by name, in JSON. */
import { Result, Schema } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { DeploymentObject, DeploymentRef, NamespaceObject } from "../model/ReadModel.ts"
import { ReplicaCount } from "../contract/Names.ts"
import { isOlder, ResourceVersion } from "../model/ResourceVersion.ts"
import type { Scope } from "./WatchScope.ts"

/** A namespace. */
export const SharedNamespace = Schema.Struct({ name: NamespaceName, resourceVersion: ResourceVersion })

/** A deployment. */
export const SharedDeployment = Schema.Struct({
  namespace: NamespaceName,
  name: DeploymentName,
  replicas: ReplicaCount,
  resourceVersion: ResourceVersion
})

/** The field that holds a deployment. A slash is in no name. */
export const deploymentField = ({ namespace, name }: DeploymentRef): string => `${namespace}/${name}`

/** What begins the fields that hold no object. It is in no name. */
export const metaPrefix = "#"

const encodeNamespace = Schema.encodeSync(Schema.fromJsonString(SharedNamespace))
const encodeDeployment = Schema.encodeSync(Schema.fromJsonString(SharedDeployment))
const decodeNamespace = Schema.decodeUnknownResult(Schema.fromJsonString(SharedNamespace))
const decodeDeployment = Schema.decodeUnknownResult(Schema.fromJsonString(SharedDeployment))

/** What an event changes of a scope's hash: the field, and its text, or none where the object is gone. */
export interface FieldChange {
  readonly field: string
  readonly text: string | undefined
  readonly resourceVersion: ResourceVersion
}

/** The change that an event makes; none if it tells of no single object. */
export const changeOf = (event: ClusterEvent): FieldChange | undefined => {
  switch (event._tag) {
    case "NamespaceApplied": {
      const { object } = event
      return { field: object.name, text: encodeNamespace(object), resourceVersion: object.resourceVersion }
    }
    case "DeploymentApplied": {
      const { object } = event
      return { field: deploymentField(object), text: encodeDeployment(object), resourceVersion: object.resourceVersion }
    }
    case "NamespaceDeleted":
      return { field: event.name, text: undefined, resourceVersion: event.resourceVersion }
    case "DeploymentDeleted":
      return { field: deploymentField(event.ref), text: undefined, resourceVersion: event.resourceVersion }
    default:
      return undefined
  }
}

/** A list's objects, each once, as if each had been added. */
export const appliedOf = (
  list: Extract<ClusterEvent, { readonly _tag: "NamespacesReplaced" | "DeploymentsReplaced" }>
): ReadonlyArray<ClusterEvent> => {
  if (list._tag === "NamespacesReplaced") {
    const byField = new Map(list.items.map((object) => [object.name, object]))
    return Array.from(byField.values(), (object) => ({ _tag: "NamespaceApplied", object }))
  }
  const byField = new Map<string, DeploymentObject>()
  for (const object of list.items) {
    const field = deploymentField(object)
    const before = byField.get(field)
    // A list that was read in pages can hold an object twice.
    if (before === undefined || !isOlder(object.resourceVersion, before.resourceVersion)) byField.set(field, object)
  }
  return Array.from(byField.values(), (object) => ({ _tag: "DeploymentApplied", object }))
}

/** What a scope's hash holds while it is read: namespaces or deployments, by field. */
export type Objects =
  | { readonly resource: "namespaces"; readonly items: Map<string, NamespaceObject> }
  | { readonly resource: "deployments"; readonly items: Map<string, DeploymentObject> }

/** Nothing yet. */
export const noObjects = ({ resource }: Scope): Objects =>
  resource === "namespaces" ? { resource, items: new Map() } : { resource, items: new Map() }

/** Characters of an object's text: no leader writes a quarter of it. */
const longestText = 4096

/** Takes a field in; fails where it does not hold the object that it is called after. */
export const takeField = (objects: Objects, field: string, text: string): Result.Result<void, string> => {
  if (text.length > longestText) return Result.fail("it is too long")
  if (objects.resource === "namespaces") {
    return put(objects.items, field, decodeNamespace(text), ({ name }) => name)
  }
  return put(objects.items, field, decodeDeployment(text), deploymentField)
}

const put = <A>(
  items: Map<string, A>,
  field: string,
  decoded: Result.Result<A, unknown>,
  fieldOf: (object: A) => string
): Result.Result<void, string> => {
  if (Result.isFailure(decoded) || fieldOf(decoded.success) !== field) {
    return Result.fail("it does not hold the object that it is called after")
  }
  items.set(field, decoded.success)
  return Result.void
}

/** Takes an event of the same scope in. */
export const takeEvent = (objects: Objects, event: ClusterEvent): void => {
  if (event._tag === "NamespaceDeleted") objects.items.delete(event.name)
  else if (event._tag === "DeploymentDeleted") objects.items.delete(deploymentField(event.ref))
  else if (event._tag === "NamespaceApplied" && objects.resource === "namespaces") {
    objects.items.set(event.object.name, event.object)
  } else if (event._tag === "DeploymentApplied" && objects.resource === "deployments") {
    objects.items.set(deploymentField(event.object), event.object)
  }
}

/** The whole scope as one event. */
export const replacedBy = (
  objects: Objects,
  { namespace }: Scope,
  resourceVersion: ResourceVersion
): Extract<ClusterEvent, { readonly _tag: "NamespacesReplaced" | "DeploymentsReplaced" }> =>
  objects.resource === "namespaces"
    ? { _tag: "NamespacesReplaced", items: [...objects.items.values()], resourceVersion }
    : {
        _tag: "DeploymentsReplaced",
        items: [...objects.items.values()],
        resourceVersion,
        ...(namespace === undefined ? {} : { namespace })
      }
