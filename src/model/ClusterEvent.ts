/**
 * The events of the cluster in terms of the read model. Informers produce them, and the cache consumes them.
 */
import type { DeploymentObject, DeploymentRef, NamespaceObject } from "./ReadModel.ts"
import type { NamespaceName } from "../contract/Names.ts"
import type { ResourceVersion } from "./ResourceVersion.ts"

/** The watched kinds of objects. */
export type WatchedResource = "namespaces" | "deployments"

/**
 * A change of the known state of the cluster.
 *
 * - `NamespacesReplaced`, `DeploymentsReplaced`: a whole list at `resourceVersion`, which replaces the known one in one
 *   step; with a `namespace`, the list of that namespace. `undecodable`: the keys (`name` or `namespace/name`) of listed
 *   objects that could not be decoded. Their last known state stays.
 * - `NamespaceApplied`, `DeploymentApplied`: added or changed.
 * - `NamespaceDeleted`, `DeploymentDeleted`: deleted at `resourceVersion`.
 * - `Heard`: the watch is open and current (it was opened, or a bookmark arrived), or a poll completed a round.
 * - `Lost`: the watch ended, so the known state of this resource begins to age.
 *
 * `namespace`: the namespace of the watch; absent for a watch of the whole cluster. `heardAt`: when the watch was last
 * current. Default: now (`Heard`), or the time of its last event (`Lost`). `liveUntil`: when all watches count as lost,
 * unless another `Heard` extends it. Both are `monotonicMillis`.
 */
export type ClusterEvent =
  | {
      readonly _tag: "NamespacesReplaced"
      readonly items: ReadonlyArray<NamespaceObject>
      readonly resourceVersion: ResourceVersion
      readonly undecodable?: ReadonlySet<string> | undefined
    }
  | {
      readonly _tag: "DeploymentsReplaced"
      readonly items: ReadonlyArray<DeploymentObject>
      readonly resourceVersion: ResourceVersion
      readonly undecodable?: ReadonlySet<string> | undefined
      readonly namespace?: NamespaceName | undefined
    }
  | { readonly _tag: "NamespaceApplied"; readonly object: NamespaceObject }
  | { readonly _tag: "DeploymentApplied"; readonly object: DeploymentObject }
  | { readonly _tag: "NamespaceDeleted"; readonly name: NamespaceName; readonly resourceVersion: ResourceVersion }
  | { readonly _tag: "DeploymentDeleted"; readonly ref: DeploymentRef; readonly resourceVersion: ResourceVersion }
  | ({ readonly _tag: "Heard"; readonly liveUntil?: number | undefined } & WatchSign)
  | ({ readonly _tag: "Lost" } & WatchSign)

interface WatchSign {
  readonly resource: WatchedResource
  readonly namespace?: NamespaceName | undefined
  readonly heardAt?: number | undefined
}

/** The namespace of the deployment or of the watch; undefined for events of namespaces or of the whole cluster. */
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

/** The resource of the event. */
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
