/**
 * The items of a `change` event, and the body of a read after a change. An item holds the new state of a resource, or
 * marks it as deleted. Items apply in order.
 */
import { Schema } from "effect"
import type {
  AllDeploymentLists,
  AllReplicaCounts,
  DeploymentList,
  DeploymentReplicaCount,
  NamespaceList,
  NamespaceReplicaCounts,
  ReplicaCountsByNamespace
} from "./Bodies.ts"
import { DeploymentName, NamespaceName, ReplicaCount } from "./Names.ts"

const namespace = NamespaceName.make("personal")
const deployment = DeploymentName.make("nginx")

const deleted = Schema.Literal(true)

/** A new replica count, or the deletion of its deployment. */
export const CountChange = Schema.Union([
  Schema.Struct({ namespace: NamespaceName, deployment: DeploymentName, replica_count: ReplicaCount }),
  Schema.Struct({ namespace: NamespaceName, deployment: DeploymentName, deleted })
]).annotate({
  identifier: "CountChange",
  description: "The new replica count of a deployment, or its deletion.",
  examples: [
    { namespace, deployment, replica_count: ReplicaCount.make(12) },
    { namespace, deployment, deleted: true }
  ]
})
export type CountChange = typeof CountChange.Type

/** A deployment that was created or deleted. */
export const DeploymentChange = Schema.Struct({
  namespace: NamespaceName,
  deployment: DeploymentName,
  deleted: Schema.optionalKey(deleted)
}).annotate({
  identifier: "DeploymentChange",
  description: "A deployment was created or deleted.",
  examples: [
    { namespace, deployment },
    { namespace, deployment, deleted: true }
  ]
})
export type DeploymentChange = typeof DeploymentChange.Type

/** A namespace that was created, or deleted with all its deployments. */
export const NamespaceChange = Schema.Struct({
  namespace: NamespaceName,
  // Excludes the items of deployments, which also have a namespace.
  deployment: Schema.optionalKey(Schema.Never),
  deleted: Schema.optionalKey(deleted)
}).annotate({
  identifier: "NamespaceChange",
  description: "A namespace was created, or deleted with all its deployments.",
  examples: [{ namespace }, { namespace, deleted: true }]
})
export type NamespaceChange = typeof NamespaceChange.Type

/** Changes of the replica counts of one namespace, or of the deployments of one name. */
export const CountChanges = Schema.Array(CountChange)
/** Changes of the names of one namespace's deployments. */
export const DeploymentChanges = Schema.Array(DeploymentChange)
/** Changes of the names of all namespaces. */
export const NamespaceChanges = Schema.Array(NamespaceChange)
/** Changes of the names of all namespaces' deployments. */
export const AllDeploymentChanges = Schema.Array(Schema.Union([DeploymentChange, NamespaceChange]))
/** Changes of the replica counts of all namespaces. */
export const AllCountChanges = Schema.Array(Schema.Union([CountChange, NamespaceChange]))

const isDeleted = (item: object): boolean => "deleted" in item

/** `entries` sorted by key, after the last change to each key. A change to `undefined` deletes the entry. */
const merged = <A>(
  entries: ReadonlyArray<A>,
  keyOf: (entry: A) => string,
  changes: ReadonlyMap<string, A | undefined>
): ReadonlyArray<A> => {
  const all = entries.filter((entry) => !changes.has(keyOf(entry)))
  for (const entry of changes.values()) if (entry !== undefined) all.push(entry)
  return all.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
}

const itself = (name: string): string => name

/** The names of all namespaces after a change. */
export const applyToNamespaces = (body: NamespaceList, items: ReadonlyArray<NamespaceChange>): NamespaceList => ({
  namespaces: merged(
    body.namespaces,
    itself,
    new Map(items.map((item) => [item.namespace, isDeleted(item) ? undefined : item.namespace]))
  )
})

/** The names of one namespace's deployments after a change. */
export const applyToDeployments = (body: DeploymentList, items: ReadonlyArray<DeploymentChange>): DeploymentList => ({
  namespace: body.namespace,
  deployments: merged(
    body.deployments,
    itself,
    new Map(items.map((item) => [item.deployment, isDeleted(item) ? undefined : item.deployment]))
  )
})

/** The replica count of one deployment after a change. The stream of a deleted deployment ends: it has no later state. */
export const applyToReplicaCount = (
  body: DeploymentReplicaCount,
  items: ReadonlyArray<CountChange>
): DeploymentReplicaCount => items.findLast((item) => "replica_count" in item) ?? body

/** The replica counts of one namespace's deployments after a change. */
export const applyToReplicaCounts = (
  body: NamespaceReplicaCounts,
  items: ReadonlyArray<CountChange>
): NamespaceReplicaCounts => ({
  namespace: body.namespace,
  deployments: merged(
    body.deployments,
    ({ deployment }) => deployment,
    new Map(
      items.map((item) => [
        item.deployment,
        "replica_count" in item ? { deployment: item.deployment, replica_count: item.replica_count } : undefined
      ])
    )
  )
})

/** The replica counts of the deployments of one name after a change. */
export const applyToFoundCounts = (
  body: ReplicaCountsByNamespace,
  items: ReadonlyArray<CountChange>
): ReplicaCountsByNamespace =>
  merged(
    body,
    ({ namespace }) => namespace,
    new Map(items.map((item) => [item.namespace, "replica_count" in item ? item : undefined]))
  )

interface OfNamespace {
  readonly namespace: NamespaceName
}

/** The entries of all namespaces after a change: each namespace has an entry, even without deployments. */
const applyToAll = <Entry extends OfNamespace, Item extends OfNamespace>(
  body: ReadonlyArray<Entry>,
  items: ReadonlyArray<Item | NamespaceChange>,
  isOfDeployment: (item: Item | NamespaceChange) => item is Item,
  empty: (namespace: NamespaceName) => Entry,
  apply: (entry: Entry, items: ReadonlyArray<Item>) => Entry
): ReadonlyArray<Entry> => {
  const held = new Map(body.map((entry) => [entry.namespace, entry]))
  const changes = new Map<string, Entry | undefined>()
  for (const [name, ofOne] of Map.groupBy(items, ({ namespace }) => namespace)) {
    const deletedAt = ofOne.findLastIndex((item) => !isOfDeployment(item) && isDeleted(item))
    const later = ofOne.slice(deletedAt + 1)
    const before = deletedAt === -1 ? held.get(name) : undefined
    const exists = before !== undefined || later.some((item) => !isDeleted(item))
    changes.set(name, exists ? apply(before ?? empty(name), later.filter(isOfDeployment)) : undefined)
  }
  return merged(body, ({ namespace }) => namespace, changes)
}

/** The names of all namespaces' deployments after a change. */
export const applyToAllDeployments = (
  body: AllDeploymentLists,
  items: ReadonlyArray<DeploymentChange | NamespaceChange>
): AllDeploymentLists =>
  applyToAll(
    body,
    items,
    (item) => item.deployment !== undefined,
    (namespace): DeploymentList => ({ namespace, deployments: [] }),
    applyToDeployments
  )

/** The replica counts of all namespaces' deployments after a change. */
export const applyToAllReplicaCounts = (
  body: AllReplicaCounts,
  items: ReadonlyArray<CountChange | NamespaceChange>
): AllReplicaCounts =>
  applyToAll(
    body,
    items,
    (item) => item.deployment !== undefined,
    (namespace): NamespaceReplicaCounts => ({ namespace, deployments: [] }),
    applyToReplicaCounts
  )
