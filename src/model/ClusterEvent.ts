/**
 * What the cluster tells, in the words of the read model. The informers produce these; the cache consumes them.
 */
import type { DeploymentObject, DeploymentRef, NamespaceObject } from "./ReadModel.ts"
import type { NamespaceName } from "../contract/Names.ts"
import type { ResourceVersion } from "./ResourceVersion.ts"

/** The two kinds of object that are watched. */
export type WatchedResource = "namespaces" | "deployments"

/**
 * One step of what is known of the cluster.
 *
 * - `NamespacesReplaced`, `DeploymentsReplaced`: a whole list as of `resourceVersion`, to be swapped in in one step; with
 *   a `namespace`, the list of what is in that one.
 * - `NamespaceApplied`, `DeploymentApplied`: added or changed.
 * - `NamespaceDeleted`, `DeploymentDeleted`: gone as of `resourceVersion`.
 * - `Heard`: the watch is live and the cluster spoke, with or without news (a bookmark, an opened watch).
 * - `Lost`: the watch of this resource is no longer live; what is known of it begins to age.
 *
 * `namespace`: that of a watch of one namespace; absent, the watch is of the whole cluster. `agoMillis`: how long ago the
 * cluster was last heard on the watch, where that was not now (`Heard`), or not when this stream last told (`Lost`).
 */
export type ClusterEvent =
  | {
      readonly _tag: "NamespacesReplaced"
      readonly items: ReadonlyArray<NamespaceObject>
      readonly resourceVersion: ResourceVersion
    }
  | {
      readonly _tag: "DeploymentsReplaced"
      readonly items: ReadonlyArray<DeploymentObject>
      readonly resourceVersion: ResourceVersion
      readonly namespace?: NamespaceName | undefined
    }
  | { readonly _tag: "NamespaceApplied"; readonly object: NamespaceObject }
  | { readonly _tag: "DeploymentApplied"; readonly object: DeploymentObject }
  | { readonly _tag: "NamespaceDeleted"; readonly name: NamespaceName; readonly resourceVersion: ResourceVersion }
  | { readonly _tag: "DeploymentDeleted"; readonly ref: DeploymentRef; readonly resourceVersion: ResourceVersion }
  | ({ readonly _tag: "Heard" } & WatchSign)
  | ({ readonly _tag: "Lost" } & WatchSign)

interface WatchSign {
  readonly resource: WatchedResource
  readonly namespace?: NamespaceName | undefined
  readonly agoMillis?: number | undefined
}

/** The namespace that the event is of, or of whose watch it is; undefined where it is of the namespaces, or of all. */
export const namespaceOf = (event: ClusterEvent): NamespaceName | undefined => {
  switch (event._tag) {
    case "DeploymentApplied":
      return event.object.namespace
    case "DeploymentDeleted":
      return event.ref.namespace
    case "DeploymentsReplaced":
    case "Heard":
    case "Lost":
      return event.namespace
    default:
      return undefined
  }
}

/** What the event is of. */
export const resourceOf = (event: ClusterEvent): WatchedResource => {
  switch (event._tag) {
    case "NamespacesReplaced":
    case "NamespaceApplied":
    case "NamespaceDeleted":
      return "namespaces"
    case "DeploymentsReplaced":
    case "DeploymentApplied":
    case "DeploymentDeleted":
      return "deployments"
    case "Heard":
    case "Lost":
      return event.resource
  }
}
