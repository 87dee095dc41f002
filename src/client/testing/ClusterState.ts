/** The state of the in-memory cluster: its edits, the bodies of the reads, and the changes between two states. */
import type { CountChange, DeploymentChange, NamespaceChange } from "../../contract/Changes.ts"
import { EntityTag, ofCount } from "../../contract/EntityTag.ts"
import type { DeploymentName, NamespaceName, ReplicaCount } from "../../contract/Names.ts"

type Deployments = ReadonlyMap<DeploymentName, ReplicaCount>

/** The namespaces, with the replica counts of their deployments. */
export type Namespaces = ReadonlyMap<NamespaceName, Deployments>

const none: Deployments = new Map()

/** Adds the namespace if it does not exist. */
export const withNamespace = (state: Namespaces, namespace: NamespaceName): Namespaces =>
  state.has(namespace) ? state : new Map([...state, [namespace, none]])

/** Removes the namespace and its deployments. */
export const withoutNamespace = (state: Namespaces, namespace: NamespaceName): Namespaces =>
  new Map([...state].filter(([name]) => name !== namespace))

/** Sets the deployment, and adds its namespace if it does not exist. */
export const withCount = (
  state: Namespaces,
  namespace: NamespaceName,
  deployment: DeploymentName,
  count: ReplicaCount
): Namespaces => new Map([...state, [namespace, new Map([...(state.get(namespace) ?? none), [deployment, count]])]])

/** Removes the deployment. */
export const withoutDeployment = (
  state: Namespaces,
  namespace: NamespaceName,
  deployment: DeploymentName
): Namespaces => {
  const held = state.get(namespace)
  return held === undefined
    ? state
    : new Map([...state, [namespace, new Map([...held].filter(([name]) => name !== deployment))]])
}

/** The part of the cluster that a read shows. Without a namespace or deployment, it covers all of them. */
export type Target =
  | { readonly _tag: "Namespaces" }
  | { readonly _tag: "Names"; readonly namespace?: NamespaceName }
  | { readonly _tag: "Counts"; readonly namespace?: NamespaceName; readonly deployment?: DeploymentName }

const sorted = <Name extends string, A>(map: ReadonlyMap<Name, A>): ReadonlyArray<readonly [Name, A]> =>
  [...map].sort(([a], [b]) => (a < b ? -1 : 1))

const namesOf = (namespace: NamespaceName, deployments: Deployments) => ({
  namespace,
  deployments: sorted(deployments).map(([deployment]) => deployment)
})

const countsOf = (namespace: NamespaceName, deployments: Deployments) => ({
  namespace,
  deployments: sorted(deployments).map(([deployment, replica_count]) => ({ deployment, replica_count }))
})

const found = (state: Namespaces, deployment: DeploymentName) =>
  sorted(state).flatMap(([namespace, deployments]) => {
    const replica_count = deployments.get(deployment)
    return replica_count === undefined ? [] : [{ namespace, deployment, replica_count }]
  })

const ofOne = <A>(state: Namespaces, namespace: NamespaceName, body: (of: NamespaceName, held: Deployments) => A) => {
  const held = state.get(namespace)
  return held && body(namespace, held)
}

/** The body of a read; `undefined` if the resource does not exist. */
export const bodyOf = (state: Namespaces, target: Target): unknown => {
  switch (target._tag) {
    case "Namespaces":
      return { namespaces: sorted(state).map(([name]) => name) }
    case "Names":
      return target.namespace === undefined
        ? sorted(state).map(([name, deployments]) => namesOf(name, deployments))
        : ofOne(state, target.namespace, namesOf)
    case "Counts":
      return countsBodyOf(state, target.namespace, target.deployment)
  }
}

const countsBodyOf = (state: Namespaces, namespace?: NamespaceName, deployment?: DeploymentName): unknown => {
  if (namespace === undefined) {
    if (deployment === undefined) return sorted(state).map(([name, deployments]) => countsOf(name, deployments))
    const all = found(state, deployment)
    return all.length === 0 ? undefined : all
  }
  if (deployment === undefined) return ofOne(state, namespace, countsOf)
  const replica_count = state.get(namespace)?.get(deployment)
  return replica_count === undefined ? undefined : { namespace, deployment, replica_count }
}

/** The entity tag of a read. The tag of a list is derived from its body: tags are equal only if the bodies are. */
export const tagOf = (state: Namespaces, target: Target): EntityTag | undefined => {
  if (target._tag === "Counts" && target.namespace !== undefined && target.deployment !== undefined) {
    const count = state.get(target.namespace)?.get(target.deployment)
    return count === undefined ? undefined : ofCount(count)
  }
  const body = bodyOf(state, target)
  return body === undefined ? undefined : EntityTag.make(`"${JSON.stringify(body).replaceAll('"', "'")}"`)
}

/** The detail of a read of a resource that does not exist. */
export const missing = (target: Target): string => {
  if (target._tag !== "Counts" || target.deployment === undefined) {
    return "namespace" in target ? `There is no namespace ${target.namespace}.` : "The cluster has no namespaces."
  }
  return target.namespace === undefined
    ? `There is no deployment ${target.deployment} in any namespace.`
    : `There is no deployment ${target.deployment} in namespace ${target.namespace}.`
}

type Item = CountChange | DeploymentChange | NamespaceChange

const union = <A>(before: ReadonlyMap<A, unknown>, after: ReadonlyMap<A, unknown>): ReadonlySet<A> =>
  new Set([...before.keys(), ...after.keys()])

const namespaceItems = (before: Namespaces, after: Namespaces): ReadonlyArray<NamespaceChange> =>
  [...union(before, after)].flatMap((namespace) => {
    if (before.has(namespace) === after.has(namespace)) return []
    return after.has(namespace) ? [{ namespace }] : [{ namespace, deleted: true }]
  })

const deploymentItem = (
  namespace: NamespaceName,
  deployment: DeploymentName,
  count: ReplicaCount | undefined,
  shown: "Names" | "Counts"
): CountChange | DeploymentChange => {
  if (count === undefined) return { namespace, deployment, deleted: true }
  return shown === "Counts" ? { namespace, deployment, replica_count: count } : { namespace, deployment }
}

const deploymentItems = (before: Deployments, after: Deployments, namespace: NamespaceName, target: Target) => {
  if (target._tag === "Namespaces") return []
  const only = target._tag === "Counts" ? target.deployment : undefined
  return [...union(before, after)]
    .filter((name) => only === undefined || name === only)
    .filter((name) =>
      target._tag === "Counts" ? before.get(name) !== after.get(name) : before.has(name) !== after.has(name)
    )
    .map((name) => deploymentItem(namespace, name, after.get(name), target._tag))
}

/** The items that the stream of a target sends for a change from one state to another. */
export const itemsOf = (before: Namespaces, after: Namespaces, target: Target): ReadonlyArray<Item> => {
  const only = target._tag === "Namespaces" ? undefined : target.namespace
  const showsNamespaces = only === undefined && !(target._tag === "Counts" && target.deployment !== undefined)
  const items: Array<Item> = showsNamespaces ? [...namespaceItems(before, after)] : []
  for (const namespace of union(before, after)) {
    if (only !== undefined && namespace !== only) continue
    if (showsNamespaces && !after.has(namespace)) continue
    items.push(...deploymentItems(before.get(namespace) ?? none, after.get(namespace) ?? none, namespace, target))
  }
  return items
}
