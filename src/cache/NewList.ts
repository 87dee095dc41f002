/** Merges a new list into the known namespaces and deployments. Reuses entries that do not change. */
import type { DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import type { DeploymentObject, NamespaceObject } from "../model/ReadModel.ts"
import { isOlder, type ResourceVersion, unversioned } from "../model/ResourceVersion.ts"
import { type DeploymentEntry, deploymentsRendering, entryOf } from "./DeploymentEntry.ts"
import {
  isShown,
  namespaceEntry,
  type NamespaceEntry,
  type Namespaces,
  noDeployments,
  withDeployments
} from "./NamespaceEntry.ts"
import { SortedBlocks } from "./SortedBlocks.ts"

/** A list of namespaces. */
export type NamespaceList = Extract<ClusterEvent, { readonly _tag: "NamespacesReplaced" }>
/** A list of deployments. */
export type DeploymentList = Extract<ClusterEvent, { readonly _tag: "DeploymentsReplaced" }>

/** The entries of a view, including those of namespaces that do not exist. */
export type Entries = ReadonlyMap<NamespaceName, NamespaceEntry>

/** The entries after a list of namespaces. `wentBack`: the cluster was restored from a backup, so the list reverts writes. */
export const afterNamespaces = (known: Namespaces, list: NamespaceList, wentBack: boolean): Entries => {
  const listed = new Map(list.items.map((item) => [item.name, item]))
  const next = new Map<NamespaceName, NamespaceEntry>()
  for (const entry of known) {
    const item = listed.get(entry.name)
    const kept = item === undefined ? afterAbsence(entry, list, wentBack) : afterItem(entry, item, list, wentBack)
    if (isShown(kept) || kept.deployments.size > 0) next.set(kept.name, kept)
  }
  for (const { name, resourceVersion } of listed.values()) {
    if (!next.has(name)) next.set(name, namespaceEntry(name, resourceVersion, noDeployments))
  }
  return next
}

const afterItem = (
  entry: NamespaceEntry,
  { resourceVersion }: NamespaceObject,
  list: NamespaceList,
  wentBack: boolean
): NamespaceEntry => {
  if (entry.graceRounds === 0 && entry.resourceVersion === resourceVersion) return entry
  return !wentBack && isWrittenAfter(entry, list.resourceVersion)
    ? entry
    : { ...entry, resourceVersion, graceRounds: 0 }
}

const afterAbsence = (entry: NamespaceEntry, list: NamespaceList, wentBack: boolean): NamespaceEntry => {
  if (!isShown(entry)) return entry
  if (list.undecodable?.has(entry.name) === true) {
    return wentBack && isOlder(list.resourceVersion, entry.resourceVersion)
      ? { ...entry, resourceVersion: list.resourceVersion, graceRounds: 0 }
      : entry
  }
  // A poll may have begun before the write. So its lists do not hide the namespace; its complete rounds are counted.
  const staysShown = isWrittenAfter(entry, list.resourceVersion) || list.resourceVersion === unversioned
  return entry.graceRounds > 0 && !wentBack && staysShown
    ? entry
    : { ...entry, resourceVersion: undefined, graceRounds: 0 }
}

const isWrittenAfter = ({ graceRounds, resourceVersion }: NamespaceEntry, version: ResourceVersion): boolean =>
  graceRounds > 0 && resourceVersion !== undefined && version !== unversioned && isOlder(version, resourceVersion)

type Listed = Map<NamespaceName, Map<DeploymentName, DeploymentEntry>>

/** The entries after a list of deployments, of the cluster or of one namespace. `wentBack`: as for namespaces. */
export const afterDeployments = (known: Namespaces, list: DeploymentList, wentBack: boolean): Entries => {
  const listed = entriesOf(known, list.items)
  for (const entry of known) {
    if (wentBack || (list.namespace !== undefined && list.namespace !== entry.name)) continue
    for (const deployment of entry.deployments) {
      // The list does not contain this write yet.
      if (deployment.written && isOlder(list.resourceVersion, deployment.resourceVersion)) put(listed, deployment)
    }
  }
  for (const key of list.undecodable ?? []) keep(known, listed, key, wentBack ? list.resourceVersion : undefined)
  return withListed(known, listed, list.namespace)
}

const put = (listed: Listed, entry: DeploymentEntry): void => {
  const names = listed.get(entry.namespace)
  if (names === undefined) listed.set(entry.namespace, new Map([[entry.name, entry]]))
  else names.set(entry.name, entry)
}

/**
 * Adds the last known state of an undecodable object, if there is one. `latest`: the version of a restored cluster, whose
 * events must count as newer.
 */
const keep = (known: Namespaces, listed: Listed, key: string, latest: ResourceVersion | undefined): void => {
  const [namespace = "", name = ""] = key.split("/")
  const entry = known.get(namespace)?.deployments.get(name)
  if (entry === undefined || listed.get(entry.namespace)?.has(entry.name) === true) return
  const isFromFuture = latest !== undefined && isOlder(latest, entry.resourceVersion)
  put(listed, isFromFuture ? entryOf({ ...entry, resourceVersion: latest }, false, entry) : entry)
}

const entriesOf = (known: Namespaces, items: ReadonlyArray<DeploymentObject>): Listed => {
  const listed: Listed = new Map()
  for (const item of items) {
    // A paged list can contain an object twice.
    const before = listed.get(item.namespace)?.get(item.name)
    if (before !== undefined && isOlder(item.resourceVersion, before.resourceVersion)) continue
    const held = known.get(item.namespace)?.deployments.get(item.name)
    const isHeld = held?.resourceVersion === item.resourceVersion && held.replicas === item.replicas && !held.written
    put(listed, isHeld ? held : entryOf(item, false, held))
  }
  return listed
}

/** The known namespaces with the listed deployments, in all of them or in `only` one. */
const withListed = (known: Namespaces, listed: Listed, only: NamespaceName | undefined): Entries => {
  const next = new Map<NamespaceName, NamespaceEntry>()
  for (const held of known) {
    const names = listed.get(held.name)
    if (only !== undefined && held.name !== only) next.set(held.name, held)
    else if (names !== undefined) next.set(held.name, replaced(held, sortedByName(names)))
    else if (isShown(held)) next.set(held.name, replaced(held, []))
  }
  for (const [name, names] of listed) {
    if (!next.has(name)) {
      next.set(name, replaced(namespaceEntry(name, undefined, noDeployments), sortedByName(names)))
    }
  }
  return next
}

const replaced = (namespace: NamespaceEntry, entries: ReadonlyArray<DeploymentEntry>): NamespaceEntry =>
  isSame(namespace, entries)
    ? namespace
    : withDeployments(
        namespace,
        entries.length === 0 ? noDeployments : SortedBlocks.from(entries, deploymentsRendering)
      )

const isSame = ({ deployments }: NamespaceEntry, entries: ReadonlyArray<DeploymentEntry>): boolean => {
  if (deployments.size !== entries.length) return false
  let index = 0
  for (const entry of deployments) if (entry !== entries[index++]) return false
  return true
}

/** The values of the map, sorted by key. */
export const sortedByName = <A>(byName: ReadonlyMap<string, A>): ReadonlyArray<A> =>
  Array.from(byName)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, value]) => value)
