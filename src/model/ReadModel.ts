/**
 * The read model: what the service keeps of the cluster, and nothing else of it.
 */
import type { DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { ReplicaCount } from "../contract/Names.ts"
import type { ResourceVersion } from "./ResourceVersion.ts"

/** A namespace as the service keeps it. */
export interface NamespaceObject {
  readonly name: NamespaceName
  readonly resourceVersion: ResourceVersion
}

/** A deployment as the service keeps it: `replicas` is the desired count. */
export interface DeploymentObject {
  readonly namespace: NamespaceName
  readonly name: DeploymentName
  readonly replicas: ReplicaCount
  readonly resourceVersion: ResourceVersion
}

/** One deployment, by name. */
export interface DeploymentRef {
  readonly namespace: NamespaceName
  readonly name: DeploymentName
}

/** A deployment as the cluster accepted a write of its count; `uid` is its identity there, where the cluster told it. */
export interface ScaledDeployment extends DeploymentObject {
  readonly uid: string | undefined
}
