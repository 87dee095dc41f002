/** The bodies of successful responses. A client ignores members that it does not know. */
import { Schema } from "effect"
import { DeploymentName, NamespaceName, ReplicaCount } from "./Names.ts"

const namespace = NamespaceName.make("personal")
const kafka = DeploymentName.make("kafka")
const nginx = DeploymentName.make("nginx")
const twelve = ReplicaCount.make(12)

/** The names of all namespaces, sorted. */
export const NamespaceList = Schema.Struct({ namespaces: Schema.Array(NamespaceName) }).annotate({
  identifier: "NamespaceList",
  description: "The names of all namespaces, sorted by code unit.",
  examples: [{ namespaces: [NamespaceName.make("kube-system"), namespace] }]
})
export type NamespaceList = typeof NamespaceList.Type

/** The names of one namespace's deployments, sorted. */
export const DeploymentList = Schema.Struct({
  namespace: NamespaceName,
  deployments: Schema.Array(DeploymentName)
}).annotate({
  identifier: "DeploymentList",
  description: "The names of one namespace's deployments, sorted by code unit.",
  examples: [{ namespace, deployments: [kafka, nginx] }]
})
export type DeploymentList = typeof DeploymentList.Type

/** The names of all deployments, one list for each namespace, also for a namespace without deployments. */
export const AllDeploymentLists = Schema.Array(DeploymentList).annotate({
  identifier: "AllDeploymentLists",
  description: "One list of deployments for each namespace, also for a namespace without deployments.",
  examples: [[{ namespace, deployments: [kafka, nginx] }]]
})
export type AllDeploymentLists = typeof AllDeploymentLists.Type

/** The desired replica count of one deployment. */
export const DeploymentReplicaCount = Schema.Struct({
  namespace: NamespaceName,
  deployment: DeploymentName,
  replica_count: ReplicaCount
}).annotate({
  identifier: "DeploymentReplicaCount",
  description: "The desired replica count of one deployment (`spec.replicas`).",
  examples: [{ namespace, deployment: nginx, replica_count: twelve }]
})
export type DeploymentReplicaCount = typeof DeploymentReplicaCount.Type

/** The desired replica counts of the deployments of one name, one for each namespace that has it. */
export const ReplicaCountsByNamespace = Schema.Array(DeploymentReplicaCount).annotate({
  identifier: "ReplicaCountsByNamespace",
  description: "The replica counts of the deployments of one name, one for each namespace that has it.",
  examples: [[{ namespace, deployment: nginx, replica_count: twelve }]]
})
export type ReplicaCountsByNamespace = typeof ReplicaCountsByNamespace.Type

/** The desired replica counts of one namespace's deployments. */
export const NamespaceReplicaCounts = Schema.Struct({
  namespace: NamespaceName,
  deployments: Schema.Array(Schema.Struct({ deployment: DeploymentName, replica_count: ReplicaCount }))
}).annotate({
  identifier: "NamespaceReplicaCounts",
  description: "The replica counts of one namespace's deployments, sorted by name.",
  examples: [{ namespace, deployments: [{ deployment: nginx, replica_count: twelve }] }]
})
export type NamespaceReplicaCounts = typeof NamespaceReplicaCounts.Type

/** The desired replica counts of all deployments, one entry for each namespace. */
export const AllReplicaCounts = Schema.Array(NamespaceReplicaCounts).annotate({
  identifier: "AllReplicaCounts",
  description: "The replica counts of all deployments, one entry for each namespace.",
  examples: [[{ namespace, deployments: [{ deployment: nginx, replica_count: twelve }] }]]
})
export type AllReplicaCounts = typeof AllReplicaCounts.Type

/** `{}`: the request succeeded. */
export const Empty = Schema.Record(Schema.String, Schema.Unknown).annotate({
  identifier: "Empty",
  description: "An empty object.",
  examples: [{}]
})
