/**
 * Reads of a view: the body of each list and count, and its entity tag. A body is rendered at its first read; its tag
 * needs no rendering.
 */
import type { DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { DeploymentObject, DeploymentRef } from "../model/ReadModel.ts"
import { type Body, fromPieces } from "./Body.ts"
import type { ClusterView } from "./ClusterView.ts"
import type { DeploymentEntry } from "./DeploymentEntry.ts"
import * as DeploymentsByName from "./DeploymentsByName.ts"
import { existing, isShown, type NamespaceEntry, pushCounts, pushNames, type ShownNamespace } from "./NamespaceEntry.ts"
import { anySpot, type Spot } from "./SortedBlocks.ts"

/** The positions at which a namespace and a deployment were last found, for repeated lookups. */
export interface Spots {
  readonly namespace: Spot
  readonly deployment: Spot
}

/** The positions before the first lookup. */
export const anySpots = (): Spots => ({ namespace: anySpot(), deployment: anySpot() })

const shown = (view: ClusterView, name: NamespaceName, spots?: Spots): ShownNamespace | undefined => {
  const namespace = view.namespaces.get(name, spots?.namespace)
  return namespace === undefined || !isShown(namespace) ? undefined : namespace
}

const entryOf = (
  view: ClusterView,
  namespace: NamespaceName,
  deployment: DeploymentName,
  spots?: Spots
): DeploymentEntry | undefined => shown(view, namespace, spots)?.deployments.get(deployment, spots?.deployment)

const render = (push: (pieces: Array<string>) => void): Body => {
  const pieces: Array<string> = []
  push(pieces)
  return fromPieces(pieces)
}

const pushAll = (
  pieces: Array<string>,
  view: ClusterView,
  push: (pieces: Array<string>, namespace: NamespaceEntry) => void
): void => {
  pieces.push("[")
  let separator = ""
  for (const namespace of existing(view.namespaces)) {
    pieces.push(separator)
    push(pieces, namespace)
    separator = ","
  }
  pieces.push("]")
}

/** Whether the namespace exists. */
export const hasNamespace = (view: ClusterView, name: NamespaceName): boolean => shown(view, name) !== undefined

/** The deployment, if it exists. */
export const getDeployment = (view: ClusterView, { name, namespace }: DeploymentRef): DeploymentObject | undefined =>
  entryOf(view, namespace, name)

/** The names of all namespaces. */
export const namespacesBody = (view: ClusterView): Body => {
  const memo = view.lists.namespaces
  if (memo.body !== undefined) return memo.body
  const names = Array.from(existing(view.namespaces), ({ name }) => name)
  return (memo.body = fromPieces(
    names.length === 0 ? ['{"namespaces":[]}'] : ['{"namespaces":["', names.join('","'), '"]}']
  ))
}

/** The tag of the names of all namespaces. */
export const namespacesTag = (view: ClusterView): string => view.lists.namespaces.etag

/** The names of the namespace's deployments; `undefined` if the namespace does not exist. */
export const deploymentsBody = (view: ClusterView, name: NamespaceName, spots?: Spots): Body | undefined => {
  const namespace = shown(view, name, spots)
  return namespace && (namespace.names.body ??= render((pieces) => pushNames(pieces, namespace)))
}

/** The tag of the names of the namespace's deployments; `undefined` if the namespace does not exist. */
export const deploymentsTag = (view: ClusterView, name: NamespaceName, spots?: Spots): string | undefined =>
  shown(view, name, spots)?.names.etag

/** The names of all namespaces' deployments. */
export const allDeploymentsBody = (view: ClusterView): Body =>
  (view.lists.names.body ??= render((pieces) => pushAll(pieces, view, pushNames)))

/** The tag of the names of all namespaces' deployments. */
export const allDeploymentsTag = (view: ClusterView): string => view.lists.names.etag

/** The replica count of a deployment; `undefined` if it does not exist. */
export const replicaCountBody = (
  view: ClusterView,
  namespace: NamespaceName,
  deployment: DeploymentName,
  spots?: Spots
): Body | undefined => entryOf(view, namespace, deployment, spots)?.body

/** The tag of the replica count of a deployment; `undefined` if it does not exist. */
export const replicaCountTag = (
  view: ClusterView,
  namespace: NamespaceName,
  deployment: DeploymentName,
  spots?: Spots
): string | undefined => entryOf(view, namespace, deployment, spots)?.etag

/** The replica counts of the namespace's deployments; `undefined` if the namespace does not exist. */
export const replicaCountsBody = (view: ClusterView, name: NamespaceName, spots?: Spots): Body | undefined => {
  const namespace = shown(view, name, spots)
  return namespace && (namespace.counts.body ??= render((pieces) => pushCounts(pieces, namespace)))
}

/** The tag of the replica counts of the namespace's deployments; `undefined` if the namespace does not exist. */
export const replicaCountsTag = (view: ClusterView, name: NamespaceName, spots?: Spots): string | undefined =>
  shown(view, name, spots)?.counts.etag

/** The replica counts of all namespaces' deployments. */
export const allReplicaCountsBody = (view: ClusterView): Body =>
  (view.lists.counts.body ??= render((pieces) => pushAll(pieces, view, pushCounts)))

/** The tag of the replica counts of all namespaces' deployments. */
export const allReplicaCountsTag = (view: ClusterView): string => view.lists.counts.etag

/** The replica counts of all deployments of this name; `undefined` if there is none. */
export const replicaCountEverywhereBody = (view: ClusterView, deployment: DeploymentName): Body | undefined =>
  DeploymentsByName.body(view.byName, deployment)

/** The tag of the replica counts of all deployments of this name; `undefined` if there is none. */
export const replicaCountEverywhereTag = (view: ClusterView, deployment: DeploymentName): string | undefined =>
  DeploymentsByName.etag(view.byName, deployment)
