/**
 * The kinds of objects that are listed and watched. A codec reads the fields of an object; its kind validates them, so
 * that both encodings accept the same objects.
 */
import { Result, Schema } from "effect"
import type { ClusterEvent, WatchedResource } from "../../model/ClusterEvent.ts"
import { DeploymentName, NamespaceName, ReplicaCount } from "../../contract/Names.ts"
import type { DeploymentObject, NamespaceObject } from "../../model/ReadModel.ts"
import { ResourceVersion } from "../../model/ResourceVersion.ts"

/** A decoded value, or the reason why decoding failed. */
export type Decoded<A> = Result.Result<A, string>

/** The fields of an object that are read, before validation. Absent fields are undefined. */
export interface ObjectFields {
  readonly name: unknown
  readonly namespace: unknown
  readonly resourceVersion: unknown
  /** `spec.replicas` of a deployment. */
  readonly replicas: unknown
}

/** A kind of object to list and watch: its path, its fields, and the events of its changes. */
export interface ResourceKind<A extends { readonly resourceVersion: ResourceVersion }> {
  readonly resource: WatchedResource
  /** Limits the kind to one namespace. Default: the whole cluster. */
  readonly namespace?: NamespaceName | undefined
  /** The path of the collection, of the whole cluster or of one namespace. */
  readonly path: (namespace?: NamespaceName) => string
  readonly validate: (fields: ObjectFields) => Decoded<A>
  /** The key of an object with these fields, if its name and namespace are valid. */
  readonly keyOf: (fields: ObjectFields) => string | undefined
  /** Identifies an object among those of its kind. */
  readonly key: (object: A) => string
  /** `undecodable`: the keys of listed objects that could not be decoded. */
  readonly replaced: (
    items: ReadonlyArray<A>,
    resourceVersion: ResourceVersion,
    undecodable: ReadonlySet<string>
  ) => ClusterEvent
  readonly applied: (object: A) => ClusterEvent
  readonly deleted: (object: A) => ClusterEvent
}

const isNamespaceName = Schema.is(NamespaceName)
const isDeploymentName = Schema.is(DeploymentName)
const isReplicaCount = Schema.is(ReplicaCount)
const isResourceVersion = Schema.is(ResourceVersion)

const invalid = (field: keyof ObjectFields): Decoded<never> => Result.fail(`an invalid or absent ${field}`)

const oneReplica = ReplicaCount.make(1)

/** Namespaces. They are cluster-scoped. */
export const namespaces: ResourceKind<NamespaceObject> = {
  resource: "namespaces",
  path: () => "/api/v1/namespaces",
  validate: ({ name, resourceVersion }) => {
    if (!isNamespaceName(name)) return invalid("name")
    return isResourceVersion(resourceVersion) ? Result.succeed({ name, resourceVersion }) : invalid("resourceVersion")
  },
  keyOf: ({ name }) => (isNamespaceName(name) ? name : undefined),
  key: (object) => object.name,
  replaced: (items, resourceVersion, undecodable) => ({
    _tag: "NamespacesReplaced",
    items,
    resourceVersion,
    ...(undecodable.size === 0 ? undefined : { undecodable })
  }),
  applied: (object) => ({ _tag: "NamespaceApplied", object }),
  deleted: ({ name, resourceVersion }) => ({ _tag: "NamespaceDeleted", name, resourceVersion })
}

/** Deployments of the whole cluster. */
export const deployments: ResourceKind<DeploymentObject> = {
  resource: "deployments",
  path: (namespace) =>
    namespace === undefined ? "/apis/apps/v1/deployments" : `/apis/apps/v1/namespaces/${namespace}/deployments`,
  // kube-apiserver defaults an absent count to 1.
  validate: ({ name, namespace, replicas = oneReplica, resourceVersion }) => {
    if (!isNamespaceName(namespace)) return invalid("namespace")
    if (!isDeploymentName(name)) return invalid("name")
    if (!isResourceVersion(resourceVersion)) return invalid("resourceVersion")
    return isReplicaCount(replicas)
      ? Result.succeed({ namespace, name, replicas, resourceVersion })
      : invalid("replicas")
  },
  keyOf: ({ name, namespace }) =>
    isNamespaceName(namespace) && isDeploymentName(name) ? `${namespace}/${name}` : undefined,
  key: (object) => `${object.namespace}/${object.name}`,
  replaced: (items, resourceVersion, undecodable) => ({
    _tag: "DeploymentsReplaced",
    items,
    resourceVersion,
    ...(undecodable.size === 0 ? undefined : { undecodable })
  }),
  applied: (object) => ({ _tag: "DeploymentApplied", object }),
  deleted: ({ name, namespace, resourceVersion }) => ({
    _tag: "DeploymentDeleted",
    ref: { namespace, name },
    resourceVersion
  })
}

/** Deployments of one namespace. */
export const deploymentsIn = (namespace: NamespaceName): ResourceKind<DeploymentObject> => ({
  ...deployments,
  namespace,
  replaced: (items, resourceVersion, undecodable) => ({
    ...deployments.replaced(items, resourceVersion, undecodable),
    namespace
  })
})
