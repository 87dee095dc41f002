import type { Any, DeploymentName, NamespaceName } from "../../src/contract/Names.ts"
import * as Names from "../../src/contract/Names.ts"
import { ReplicaCount } from "../../src/contract/Names.ts"
import type { Access } from "../../src/authorization/Authorization.ts"
import type { Identity } from "../../src/identity/Identity.ts"

/** The identity of a certificate with this CN and these Os. */
export const identity = (user: string, ...groups: ReadonlyArray<string>): Identity => ({
  user,
  groups,
  serialNumber: "01",
  issuer: "CN=test CA",
  expiresAt: Number.MAX_SAFE_INTEGER,
  spiffeIds: []
})

const namespaceOf = (name: string): NamespaceName | Any => (name === "ANY" ? name : Names.NamespaceName.make(name))
const deploymentOf = (name: string): DeploymentName | Any => (name === "ANY" ? name : Names.DeploymentName.make(name))

export const listNamespaces: Access = { verb: "list", resource: "namespaces" }
export const getMetrics: Access = { verb: "get", resource: "metrics" }
export const listDeployments = (namespace: string): Access => ({
  verb: "list",
  resource: "deployments",
  namespace: namespaceOf(namespace)
})
export const get = (namespace: string, deployment: string): Access => ({
  verb: "get",
  resource: "replica_count",
  namespace: namespaceOf(namespace),
  deployment: deploymentOf(deployment)
})
export const set = (namespace: string, deployment: string, replicas: number): Access => ({
  verb: "set",
  resource: "replica_count",
  namespace: Names.NamespaceName.make(namespace),
  deployment: Names.DeploymentName.make(deployment),
  replicas: ReplicaCount.make(replicas)
})
