/**
 * The state of the cluster, as a persistent data structure: `apply` returns a new view, which shares all parts that the
 * event did not change.
 *
 * Rendering: a deployment's own body and the text of each block of deployments are rendered when they change. A list of
 * many deployments is joined from those texts at its first read after a change, and memoized. A burst of changes thus
 * costs one join.
 *
 * A namespace exists while its Namespace object is known. Namespaces and deployments are watched separately, so
 * deployments can arrive before their namespace and outlive it. They are kept, but not shown without it.
 *
 * One file: every operation must keep the same invariants of the persistent structure.
 */
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import type { NamespaceName } from "../contract/Names.ts"
import type { DeploymentObject, DeploymentRef, NamespaceObject } from "../model/ReadModel.ts"
import { isOlder, type ResourceVersion, unversioned } from "../model/ResourceVersion.ts"
import { type ListMemo, memoAfter, memoOf } from "./Body.ts"
import * as ContentTag from "./ContentTag.ts"
import { type DeploymentEntry, entryOf } from "./DeploymentEntry.ts"
import * as DeploymentsByName from "./DeploymentsByName.ts"
import * as History from "./History.ts"
import {
  existing,
  isShown,
  namespaceEntry,
  type NamespaceEntry,
  type Namespaces,
  noDeployments,
  type ShownNamespace
} from "./NamespaceEntry.ts"
import {
  afterDeployments,
  afterNamespaces,
  type DeploymentList,
  type Entries,
  type NamespaceList,
  sortedByName
} from "./NewList.ts"
import { SortedBlocks, untexted } from "./SortedBlocks.ts"

/** The state of the cluster. The functions below read it; its parts are private to this module. */
export interface ClusterView {
  /** Whether the namespaces have been listed. */
  readonly namespacesSynced: boolean
  /** Whether the deployments have been listed, of the cluster or of each watched namespace. */
  readonly deploymentsSynced: boolean
  /** The watched namespaces whose deployments have not been listed; empty if the whole cluster is watched. */
  readonly unlisted: ReadonlySet<NamespaceName>
  /** The number of namespaces. */
  readonly namespaceCount: number
  /** The number of deployments in existing namespaces. */
  readonly deploymentCount: number
  readonly namespaces: Namespaces
  readonly byName: DeploymentsByName.DeploymentsByName
  readonly namespaceHistory: History.History
  /** The history of deployments, if the whole cluster is watched. */
  readonly deploymentHistory: History.History
  /** The history of deployments of each namespace that is watched by itself. */
  readonly namespaceHistories: ReadonlyMap<NamespaceName, History.History>
  readonly lists: Lists
}

type Heard = Extract<ClusterEvent, { readonly _tag: "Heard" }>

/** The lists that cover all namespaces. */
interface Lists {
  readonly namespaces: ListMemo
  readonly names: ListMemo
  readonly counts: ListMemo
}

const noLists: Lists = {
  namespaces: memoOf(ContentTag.nothing),
  names: memoOf(ContentTag.nothing),
  counts: memoOf(ContentTag.nothing)
}

/** The view before any event, if the whole cluster is watched. */
export const empty: ClusterView = {
  namespacesSynced: false,
  deploymentsSynced: false,
  unlisted: new Set(),
  namespaceCount: 0,
  deploymentCount: 0,
  namespaces: SortedBlocks.from<NamespaceEntry, undefined>([], untexted),
  byName: DeploymentsByName.from([]),
  namespaceHistory: History.empty,
  deploymentHistory: History.empty,
  namespaceHistories: new Map(),
  lists: noLists
}

/** The view before any event, if these namespaces are watched, each by itself. */
export const emptyOf = (namespaces: ReadonlyArray<NamespaceName>): ClusterView => ({
  ...empty,
  unlisted: new Set(namespaces),
  namespaceHistories: new Map(namespaces.map((namespace) => [namespace, History.empty]))
})

/** Whether namespaces and deployments have both been listed. */
export const isSynced = (view: ClusterView): boolean => view.namespacesSynced && view.deploymentsSynced

/**
 * The view after `event`. It never goes back: an event that is older than the view, or repeats it, returns `view` itself.
 * So does `Lost`, and so does `Heard` unless it ends a round of a poll. Versions that are not decimal cannot be compared
 * and count as newer.
 */
export const apply = (view: ClusterView, event: ClusterEvent): ClusterView => {
  switch (event._tag) {
    case "NamespacesReplaced":
      return replaceNamespaces(view, event)
    case "DeploymentsReplaced":
      return replaceDeployments(view, event)
    case "NamespaceApplied":
      return applyNamespace(view, event.object)
    case "DeploymentApplied":
      return applyDeployment(view, event.object)
    case "NamespaceDeleted":
      return deleteNamespace(view, event.name, event.resourceVersion)
    case "DeploymentDeleted":
      return deleteDeployment(view, event.ref, event.resourceVersion)
    case "Heard":
      return endsRound(view, event) ? missUnconfirmed(view) : view
    case "Lost":
      return view
  }
}

/**
 * The view after a write of this service that the cluster accepted. The write is visible at once. Neither an older event nor
 * a list from before the write reverts it. It does not revert a newer version or a later deletion.
 *
 * The write proves that its namespace exists. An unknown namespace is shown until a newer event or list of namespaces shows
 * that it was deleted; all objects of a cluster share one version counter. Polled namespaces have no list version to
 * compare. So the second complete round that does not find the namespace hides it: the first may have begun before the
 * write.
 */
export const written = (view: ClusterView, object: DeploymentObject): ClusterView => {
  const held = heldDeployment(view, object)
  const isNews =
    held === undefined
      ? !History.isPast(historyOf(view, object), keyOf(object), object.resourceVersion)
      : held.resourceVersion !== object.resourceVersion && !isOlder(object.resourceVersion, held.resourceVersion)
  if (!isNews) return writtenIn(view, object)
  const history = History.ahead(historyOf(view, object), object.resourceVersion)
  return writtenIn(
    putDeployment(withHistory(view, object.namespace, history), entryOf(object, true, held), held),
    object
  )
}

const shown = (view: ClusterView, name: NamespaceName): ShownNamespace | undefined => {
  const namespace = view.namespaces.get(name)
  return namespace === undefined || !isShown(namespace) ? undefined : namespace
}

function* deploymentsOf(namespaces: Iterable<NamespaceEntry>): Generator<DeploymentEntry> {
  for (const { deployments } of namespaces) yield* deployments
}

const heldDeployment = (view: ClusterView, { namespace, name }: DeploymentRef): DeploymentEntry | undefined =>
  view.namespaces.get(namespace)?.deployments.get(name)

// No name contains a slash.
const keyOf = ({ namespace, name }: DeploymentRef): string => `${namespace}/${name}`

const historyOf = (view: ClusterView, { namespace }: Pick<DeploymentRef, "namespace">): History.History =>
  view.namespaceHistories.get(namespace) ?? view.deploymentHistory

const withHistory = (view: ClusterView, namespace: NamespaceName, history: History.History): ClusterView =>
  view.namespaceHistories.has(namespace)
    ? { ...view, namespaceHistories: new Map(view.namespaceHistories).set(namespace, history) }
    : { ...view, deploymentHistory: history }

const applyDeployment = (view: ClusterView, object: DeploymentObject): ClusterView => {
  const { resourceVersion } = object
  const held = heldDeployment(view, object)
  if (held === undefined) {
    if (History.isPast(historyOf(view, object), keyOf(object), resourceVersion)) return view
  } else if (held.resourceVersion === resourceVersion) {
    if (!held.written) return view
  } else if (isOlder(resourceVersion, held.resourceVersion)) {
    return view
  }
  const history = History.told(historyOf(view, object), resourceVersion)
  return putDeployment(withHistory(view, object.namespace, history), entryOf(object, false, held), held)
}

const putDeployment = (view: ClusterView, entry: DeploymentEntry, held: DeploymentEntry | undefined): ClusterView => {
  const namespace = view.namespaces.get(entry.namespace) ?? namespaceEntry(entry.namespace, undefined, noDeployments)
  const exists = isShown(namespace)
  const namesChanged = held === undefined
  const countsChanged = namesChanged || held.replicas !== entry.replicas
  const withName = (memo: ListMemo) => (namesChanged ? memoAfter(memo, entry.nameDigest) : memo)
  const withCount = (memo: ListMemo) => (countsChanged ? memoAfter(memo, entry.countDigest, held?.countDigest) : memo)
  return {
    ...view,
    namespaces: view.namespaces.set({
      ...namespace,
      deployments: namespace.deployments.set(entry),
      names: withName(namespace.names),
      counts: withCount(namespace.counts)
    }),
    byName: exists ? DeploymentsByName.set(view.byName, entry) : view.byName,
    deploymentCount: view.deploymentCount + (exists && namesChanged ? 1 : 0),
    lists:
      exists && countsChanged
        ? {
            namespaces: view.lists.namespaces,
            names: withName(view.lists.names),
            counts: withCount(view.lists.counts)
          }
        : view.lists
  }
}

const deleteDeployment = (view: ClusterView, ref: DeploymentRef, resourceVersion: ResourceVersion): ClusterView => {
  const namespace = view.namespaces.get(ref.namespace)
  const held = namespace?.deployments.get(ref.name)
  const history = historyOf(view, ref)
  if (held === undefined && History.isPast(history, keyOf(ref), resourceVersion)) return view
  if (held !== undefined && isOlder(resourceVersion, held.resourceVersion)) return view
  const buried = withHistory(view, ref.namespace, History.buried(history, keyOf(ref), resourceVersion))
  if (namespace === undefined || held === undefined) return buried
  const without = <L extends Pick<Lists, "names" | "counts">>(lists: L): L => ({
    ...lists,
    names: memoAfter(lists.names, ContentTag.nothing, held.nameDigest),
    counts: memoAfter(lists.counts, ContentTag.nothing, held.countDigest)
  })
  const left = { ...without(namespace), deployments: namespace.deployments.remove(ref.name) }
  if (!isShown(namespace)) {
    return {
      ...buried,
      namespaces: left.deployments.size === 0 ? view.namespaces.remove(namespace.name) : view.namespaces.set(left)
    }
  }
  return {
    ...buried,
    namespaces: view.namespaces.set(left),
    byName: DeploymentsByName.remove(view.byName, ref),
    deploymentCount: view.deploymentCount - 1,
    lists: without(view.lists)
  }
}

const applyNamespace = (view: ClusterView, { name, resourceVersion }: NamespaceObject): ClusterView => {
  const held = shown(view, name)
  if (held === undefined) {
    if (History.isPast(view.namespaceHistory, name, resourceVersion)) return view
  } else if (isOlder(resourceVersion, held.resourceVersion)) {
    return view
  } else if (held.resourceVersion === resourceVersion && held.graceRounds === 0) {
    return view
  }
  const told = { ...view, namespaceHistory: History.told(view.namespaceHistory, resourceVersion) }
  return showNamespace(told, name, resourceVersion, 0)
}

const deleteNamespace = (view: ClusterView, name: NamespaceName, resourceVersion: ResourceVersion): ClusterView => {
  const held = shown(view, name)
  if (held === undefined && History.isPast(view.namespaceHistory, name, resourceVersion)) return view
  if (held !== undefined && isOlder(resourceVersion, held.resourceVersion)) return view
  const buried = { ...view, namespaceHistory: History.buried(view.namespaceHistory, name, resourceVersion) }
  return held === undefined ? buried : hideNamespace(buried, held)
}

/** Shows the namespace of a write, unless a list or an event has confirmed it or a newer event deleted it. */
const writtenIn = (view: ClusterView, { namespace, resourceVersion }: DeploymentObject): ClusterView => {
  const held = shown(view, namespace)
  if (held === undefined) {
    return History.isPast(view.namespaceHistory, namespace, resourceVersion)
      ? view
      : showNamespace(view, namespace, resourceVersion, 2)
  }
  if (held.graceRounds === 0) return view
  const latest = isOlder(resourceVersion, held.resourceVersion) ? held.resourceVersion : resourceVersion
  const isSame = latest === held.resourceVersion && held.graceRounds === 2
  return isSame ? view : showNamespace(view, namespace, latest, 2)
}

/** Whether a `Heard` ends a complete round of the poll of namespaces. */
const endsRound = ({ namespaceHistory }: ClusterView, { heardAt, resource }: Heard): boolean =>
  namespaceHistory.floor === unversioned && resource === "namespaces" && heardAt === undefined

/** The view after a complete round of the poll: it did not find the namespaces that are known only from a write. */
const missUnconfirmed = (view: ClusterView): ClusterView => {
  let next = view
  for (const namespace of existing(view.namespaces)) {
    const { graceRounds, name, resourceVersion } = namespace
    if (graceRounds === 1) next = hideNamespace(next, namespace)
    else if (graceRounds === 2) next = showNamespace(next, name, resourceVersion, 1)
  }
  return next
}

/** The lists after the namespace with all its deployments was added or removed by `change`. */
const listsAfter = (
  lists: Lists,
  { counts, digest, names }: NamespaceEntry,
  change: (memo: ListMemo, digest: ContentTag.Digest) => ListMemo
): Lists => ({
  namespaces: change(lists.namespaces, digest),
  names: change(lists.names, ContentTag.changed(digest, names.digest)),
  counts: change(lists.counts, ContentTag.changed(digest, counts.digest))
})

const showNamespace = (
  view: ClusterView,
  name: NamespaceName,
  resourceVersion: ResourceVersion,
  graceRounds: NamespaceEntry["graceRounds"]
): ClusterView => {
  const namespace = view.namespaces.get(name) ?? namespaceEntry(name, undefined, noDeployments)
  const next = { ...view, namespaces: view.namespaces.set({ ...namespace, resourceVersion, graceRounds }) }
  if (isShown(namespace)) return next
  let { byName } = view
  for (const entry of namespace.deployments) byName = DeploymentsByName.set(byName, entry)
  return {
    ...next,
    byName,
    namespaceCount: view.namespaceCount + 1,
    deploymentCount: view.deploymentCount + namespace.deployments.size,
    lists: listsAfter(view.lists, namespace, memoAfter)
  }
}

/** Hides the namespace. Its deployments stay known: they have events of their own. */
const hideNamespace = (view: ClusterView, namespace: NamespaceEntry): ClusterView => {
  let { byName } = view
  for (const entry of namespace.deployments) byName = DeploymentsByName.remove(byName, entry)
  return {
    ...view,
    namespaces:
      namespace.deployments.size === 0
        ? view.namespaces.remove(namespace.name)
        : view.namespaces.set({ ...namespace, resourceVersion: undefined, graceRounds: 0 }),
    byName,
    namespaceCount: view.namespaceCount - 1,
    deploymentCount: view.deploymentCount - namespace.deployments.size,
    lists: listsAfter(view.lists, namespace, (memo, removed) => memoAfter(memo, ContentTag.nothing, removed))
  }
}

const replaceNamespaces = (view: ClusterView, list: NamespaceList): ClusterView => {
  const wentBack = History.wentBack(view.namespaceHistory, list.resourceVersion)
  return {
    ...withNamespaces(view, afterNamespaces(view.namespaces, list, wentBack)),
    namespacesSynced: true,
    namespaceHistory: History.listed(view.namespaceHistory, list.resourceVersion, list.items)
  }
}

const replaceDeployments = (view: ClusterView, list: DeploymentList): ClusterView => {
  const { namespace: only, resourceVersion } = list
  const history = only === undefined ? view.deploymentHistory : historyOf(view, { namespace: only })
  const wentBack = History.wentBack(history, resourceVersion)
  const replaced = withNamespaces(view, afterDeployments(view.namespaces, list, wentBack))
  if (only === undefined) {
    return {
      ...replaced,
      deploymentsSynced: true,
      deploymentHistory: History.listed(history, resourceVersion, list.items)
    }
  }
  const unlisted = new Set(view.unlisted)
  unlisted.delete(only)
  return {
    ...withHistory(replaced, only, History.listed(history, resourceVersion, list.items)),
    unlisted,
    deploymentsSynced: unlisted.size === 0
  }
}

const listsOf = (shown: ReadonlyArray<ShownNamespace>): Lists => {
  let [namespaces, names, counts] = [ContentTag.nothing, ContentTag.nothing, ContentTag.nothing]
  for (const one of shown) {
    namespaces = ContentTag.changed(namespaces, one.digest)
    names = ContentTag.changed(names, one.digest + one.names.digest)
    counts = ContentTag.changed(counts, one.digest + one.counts.digest)
  }
  return { namespaces: memoOf(namespaces), names: memoOf(names), counts: memoOf(counts) }
}

/** The view with other namespaces; `view` itself if they are the same. */
const withNamespaces = (view: ClusterView, next: Entries): ClusterView => {
  let same = next.size === view.namespaces.size
  for (const held of view.namespaces) same &&= next.get(held.name) === held
  if (same) return view
  const namespaces = SortedBlocks.from<NamespaceEntry, undefined>(sortedByName(next), untexted)
  const shown = Array.from(existing(namespaces))
  return {
    ...view,
    namespaces,
    byName: DeploymentsByName.from(deploymentsOf(shown)),
    namespaceCount: shown.length,
    deploymentCount: shown.reduce((count, { deployments }) => count + deployments.size, 0),
    lists: listsOf(shown)
  }
}
