/** The objects of the read model in Redis: a snapshot is a hash with one field per object, by name, as JSON. */
import { Result, Schema } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { DeploymentObject, DeploymentRef, NamespaceObject } from "../model/ReadModel.ts"
import { ReplicaCount } from "../contract/Names.ts"
import { isOlder, ResourceVersion } from "../model/ResourceVersion.ts"
import type { WatchScope } from "./WatchScope.ts"

export const SharedNamespace = Schema.Struct({ name: NamespaceName, resourceVersion: ResourceVersion })

export const SharedDeployment = Schema.Struct({
  namespace: NamespaceName,
  name: DeploymentName,
  replicas: ReplicaCount,
  resourceVersion: ResourceVersion
})

/** The field of a deployment. No name contains a slash. */
export const deploymentField = ({ namespace, name }: DeploymentRef): string => `${namespace}/${name}`

/** The prefix of fields that hold no object. No name contains it. */
export const metaPrefix = "#"

const encodeNamespace = Schema.encodeSync(Schema.fromJsonString(SharedNamespace))
const encodeDeployment = Schema.encodeSync(Schema.fromJsonString(SharedDeployment))
const decodeNamespace = Schema.decodeUnknownResult(Schema.fromJsonString(SharedNamespace))
const decodeDeployment = Schema.decodeUnknownResult(Schema.fromJsonString(SharedDeployment))

/** The change of one field of a snapshot. Without `text` the object is gone. */
export interface FieldChange {
  readonly field: string
  readonly text: string | undefined
  readonly resourceVersion: ResourceVersion
}

/** The change that an event makes; undefined unless the event is about a single object. */
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

/** A whole list. */
export type ListEvent = Extract<ClusterEvent, { readonly _tag: "NamespacesReplaced" | "DeploymentsReplaced" }>

/** The fields of undecodable objects. Omits those that the list also contains in decodable form. */
export const undecodableFields = (list: ListEvent): ReadonlyArray<string> => {
  const { undecodable = new Set<string>() } = list
  const fields =
    list._tag === "NamespacesReplaced" ? list.items.map(({ name }) => name) : list.items.map(deploymentField)
  return [...undecodable.difference(new Set<string>(fields))]
}

/**
 * The list with the last known state of its undecodable objects. Their versions are limited to that of the list: after a
 * restore of the cluster from a backup, their next events must count as newer.
 */
export const withLastKnown = (list: ListEvent, known: Objects): ListEvent => {
  const { resourceVersion } = list
  if (list._tag === "NamespacesReplaced") {
    const kept = known.resource === "namespaces" ? [...known.items.values()] : []
    return { ...list, items: [...list.items, ...kept.map((object) => atMost(resourceVersion, object))] }
  }
  const kept = known.resource === "deployments" ? [...known.items.values()] : []
  return { ...list, items: [...list.items, ...kept.map((object) => atMost(resourceVersion, object))] }
}

const atMost = <A extends { readonly resourceVersion: ResourceVersion }>(limit: ResourceVersion, object: A): A =>
  isOlder(limit, object.resourceVersion) ? { ...object, resourceVersion: limit } : object

/** The objects of a list, each once, as events that add them. */
export const appliedOf = (list: ListEvent): ReadonlyArray<ClusterEvent> => {
  if (list._tag === "NamespacesReplaced") {
    const byField = new Map(list.items.map((object) => [object.name, object]))
    return Array.from(byField.values(), (object) => ({ _tag: "NamespaceApplied", object }))
  }
  const byField = new Map<string, DeploymentObject>()
  for (const object of list.items) {
    const field = deploymentField(object)
    const before = byField.get(field)
    // A paged list can contain an object twice.
    if (before === undefined || !isOlder(object.resourceVersion, before.resourceVersion)) byField.set(field, object)
  }
  return Array.from(byField.values(), (object) => ({ _tag: "DeploymentApplied", object }))
}

/** The objects of a snapshot by field. The reader that scans the snapshot fills the map. */
export type Objects =
  | { readonly resource: "namespaces"; readonly items: Map<string, NamespaceObject> }
  | { readonly resource: "deployments"; readonly items: Map<string, DeploymentObject> }

export const noObjects = ({ resource }: WatchScope): Objects =>
  resource === "namespaces" ? { resource, items: new Map() } : { resource, items: new Map() }

/** The limit of an object's text, in characters. A leader writes less than a quarter of it. */
const longestText = 4096

/** Adds a field; fails unless it holds the object that it is named after. */
export const takeField = (objects: Objects, field: string, text: string): Result.Result<void, string> => {
  if (text.length > longestText) return Result.fail("too long")
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
    return Result.fail("does not hold the object that it is named after")
  }
  items.set(field, decoded.success)
  return Result.void
}

/** Applies an event of the same scope. */
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
export const replacedBy = (objects: Objects, { namespace }: WatchScope, resourceVersion: ResourceVersion): ListEvent =>
  objects.resource === "namespaces"
    ? { _tag: "NamespacesReplaced", items: [...objects.items.values()], resourceVersion }
    : {
        _tag: "DeploymentsReplaced",
        items: [...objects.items.values()],
        resourceVersion,
        ...(namespace === undefined ? {} : { namespace })
      }
