import type { Body } from "../cache/Body.ts"
import * as View from "../cache/ClusterView.ts"
import * as ViewReads from "../cache/ViewReads.ts"
import type { TaggedTarget } from "../cache/Subscriptions.ts"
import type { Access } from "../authorization/Authorization.ts"
import type { DeploymentName, NamespaceName } from "../contract/Names.ts"

/**
 * A read that the cache answers: the access it needs, its target, the entity tag and the rendered body in a view, and the
 * `detail` if there is none. The tag is known without the body.
 */
export interface CachedRead extends TaggedTarget {
  readonly access: Access
  readonly find: (view: View.ClusterView) => Body | undefined
  readonly missing: () => string
}

interface InNamespace {
  readonly namespace: NamespaceName
}

interface OfDeployment {
  readonly deployment: DeploymentName
}

const noNamespace = (namespace: NamespaceName) => () => `There is no namespace ${namespace}.`

const noNamespaces = () => "The cluster has no namespaces."

/** The names of all namespaces. */
export const listNamespaces: CachedRead = {
  access: { verb: "list", resource: "namespaces" },
  target: { _tag: "Namespaces" },
  tag: ViewReads.namespacesTag,
  find: ViewReads.namespacesBody,
  missing: noNamespaces
}

/** The names of a namespace's deployments. */
export const listDeployments = ({ namespace }: InNamespace): CachedRead => {
  const spots = ViewReads.anySpots()
  return {
    access: { verb: "list", resource: "deployments", namespace },
    target: { _tag: "Names", namespace },
    tag: (view) => ViewReads.deploymentsTag(view, namespace, spots),
    find: (view) => ViewReads.deploymentsBody(view, namespace, spots),
    missing: noNamespace(namespace)
  }
}

/** The names of all deployments. */
export const listAllDeployments: CachedRead = {
  access: { verb: "list", resource: "deployments", namespace: "ANY" },
  target: { _tag: "Names", namespace: "ANY" },
  tag: ViewReads.allDeploymentsTag,
  find: ViewReads.allDeploymentsBody,
  missing: noNamespaces
}

/** The replica count of one deployment. */
export const getReplicaCount = ({ deployment, namespace }: InNamespace & OfDeployment): CachedRead => {
  const spots = ViewReads.anySpots()
  return {
    access: { verb: "get", resource: "replica_count", namespace, deployment },
    target: { _tag: "Counts", namespace, deployment },
    tag: (view) => ViewReads.replicaCountTag(view, namespace, deployment, spots),
    find: (view) => ViewReads.replicaCountBody(view, namespace, deployment, spots),
    missing: () => `There is no deployment ${deployment} in namespace ${namespace}.`
  }
}

/** The replica counts of a namespace's deployments. */
export const listReplicaCounts = ({ namespace }: InNamespace): CachedRead => {
  const spots = ViewReads.anySpots()
  return {
    access: { verb: "get", resource: "replica_count", namespace, deployment: "ANY" },
    target: { _tag: "Counts", namespace, deployment: "ANY" },
    tag: (view) => ViewReads.replicaCountsTag(view, namespace, spots),
    find: (view) => ViewReads.replicaCountsBody(view, namespace, spots),
    missing: noNamespace(namespace)
  }
}

/** The replica counts of all deployments. */
export const listAllReplicaCounts: CachedRead = {
  access: { verb: "get", resource: "replica_count", namespace: "ANY", deployment: "ANY" },
  target: { _tag: "Counts", namespace: "ANY", deployment: "ANY" },
  tag: ViewReads.allReplicaCountsTag,
  find: ViewReads.allReplicaCountsBody,
  missing: noNamespaces
}

/** The replica counts of the deployments of one name. */
export const findReplicaCounts = ({ deployment }: OfDeployment): CachedRead => ({
  access: { verb: "get", resource: "replica_count", namespace: "ANY", deployment },
  target: { _tag: "Counts", namespace: "ANY", deployment },
  tag: (view) => ViewReads.replicaCountEverywhereTag(view, deployment),
  find: (view) => ViewReads.replicaCountEverywhereBody(view, deployment),
  missing: () => `There is no deployment ${deployment} in any namespace.`
})
