/**
 * The read model: the fields of the cluster's objects that the service keeps.
 */
import type { DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { ReplicaCount } from "../contract/Names.ts"
import type { ResourceVersion } from "./ResourceVersion.ts"

/** A namespace. */
export interface NamespaceObject {
  readonly name: NamespaceName
  readonly resourceVersion: ResourceVersion
}

/** A deployment. `replicas` is the desired count. */
export interface DeploymentObject {
  readonly namespace: NamespaceName
  readonly name: DeploymentName
  readonly replicas: ReplicaCount
  readonly resourceVersion: ResourceVersion
}

/** The name of a deployment. */
export interface DeploymentRef {
  readonly namespace: NamespaceName
  readonly name: DeploymentName
}

/** A deployment after an accepted write of its count. `uid` is set if the cluster sent it. */
export interface ScaledDeployment extends DeploymentObject {
  readonly uid: string | undefined
}
