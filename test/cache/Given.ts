import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import { DeploymentName, NamespaceName } from "../../src/contract/Names.ts"
import type { DeploymentObject, DeploymentRef } from "../../src/model/ReadModel.ts"
import { ReplicaCount } from "../../src/contract/Names.ts"
import { ResourceVersion } from "../../src/model/ResourceVersion.ts"

export const ns = (name: string) => NamespaceName.make(name)
export const dep = (name: string) => DeploymentName.make(name)
export const rv = (version: number | string) => ResourceVersion.make(String(version))

export const ref = (path: string): DeploymentRef => {
  const [namespace = "", name = ""] = path.split("/")
  return { namespace: ns(namespace), name: dep(name) }
}

export const deployment = (path: string, replicas: number, version: number | string): DeploymentObject => ({
  ...ref(path),
  replicas: ReplicaCount.make(replicas),
  resourceVersion: rv(version)
})

export const namespaces = (version: number | string, ...names: ReadonlyArray<string>): ClusterEvent => ({
  _tag: "NamespacesReplaced",
  items: names.map((name) => ({ name: ns(name), resourceVersion: rv(1) })),
  resourceVersion: rv(version)
})

export const deployments = (
  version: number | string,
  ...items: ReadonlyArray<readonly [path: string, replicas: number, version: number | string]>
): ClusterEvent => ({
  _tag: "DeploymentsReplaced",
  items: items.map(([path, replicas, version]) => deployment(path, replicas, version)),
  resourceVersion: rv(version)
})

/** A list, with the keys of listed objects that could not be decoded. */
export const withUndecodable = (list: ClusterEvent, ...keys: ReadonlyArray<string>): ClusterEvent =>
  list._tag === "NamespacesReplaced" || list._tag === "DeploymentsReplaced"
    ? { ...list, undecodable: new Set(keys) }
    : list

/** The list of a namespace that is watched by itself. */
export const deploymentsOf = (
  namespace: string,
  version: number | string,
  ...items: ReadonlyArray<readonly [path: string, replicas: number, version: number | string]>
): ClusterEvent => ({
  _tag: "DeploymentsReplaced",
  items: items.map(([path, replicas, version]) => deployment(path, replicas, version)),
  resourceVersion: rv(version),
  namespace: ns(namespace)
})

export const namespaceApplied = (name: string, version: number | string): ClusterEvent => ({
  _tag: "NamespaceApplied",
  object: { name: ns(name), resourceVersion: rv(version) }
})

export const namespaceDeleted = (name: string, version: number | string): ClusterEvent => ({
  _tag: "NamespaceDeleted",
  name: ns(name),
  resourceVersion: rv(version)
})

export const applied = (path: string, replicas: number, version: number | string): ClusterEvent => ({
  _tag: "DeploymentApplied",
  object: deployment(path, replicas, version)
})

export const deleted = (path: string, version: number | string): ClusterEvent => ({
  _tag: "DeploymentDeleted",
  ref: ref(path),
  resourceVersion: rv(version)
})
