import type { Body } from "../cache/Body.ts"
import * as View from "../cache/ClusterView.ts"
import type { Any, DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { Access } from "../authorization/Authorization.ts"

/**
 * A read of endpoints 1-3: what the caller must be permitted, where its body is, already rendered, in what is known of the
 * cluster, and what to say where it is not there.
 */
export interface CachedRead {
  readonly access: Access
  readonly find: (view: View.ClusterView) => Body | undefined
  readonly missing: () => string
}

/** Endpoint 1. */
export const namespaces: CachedRead = {
  access: { verb: "list", resource: "namespaces" },
  find: View.namespacesBody,
  missing: () => "The cluster has no namespaces."
}

const noNamespace = (namespace: NamespaceName | Any) => () => `There is no namespace ${namespace}.`

/** Endpoint 2, and 2A. */
export const deployments = (namespace: NamespaceName | Any): CachedRead => {
  const spots = View.anySpots()
  return {
    access: { verb: "list", resource: "deployments", namespace },
    find: namespace === "ANY" ? View.allDeploymentsBody : (view) => View.deploymentsBody(view, namespace, spots),
    missing: noNamespace(namespace)
  }
}

const findReplicaCounts = (
  namespace: NamespaceName | Any,
  deployment: DeploymentName | Any
): ((view: View.ClusterView) => Body | undefined) => {
  if (namespace === "ANY") {
    return deployment === "ANY"
      ? View.allReplicaCountsBody
      : (view) => View.replicaCountEverywhereBody(view, deployment)
  }
  const spots = View.anySpots()
  return deployment === "ANY"
    ? (view) => View.replicaCountsBody(view, namespace, spots)
    : (view) => View.replicaCountBody(view, namespace, deployment, spots)
}

/** Endpoint 3, and 3A to 3C. */
export const replicaCounts = (namespace: NamespaceName | Any, deployment: DeploymentName | Any): CachedRead => ({
  access: { verb: "get", resource: "replica_count", namespace, deployment },
  find: findReplicaCounts(namespace, deployment),
  missing:
    deployment === "ANY"
      ? noNamespace(namespace)
      : () =>
          `There is no deployment ${deployment} in ${namespace === "ANY" ? "any namespace" : `namespace ${namespace}`}.`
})
