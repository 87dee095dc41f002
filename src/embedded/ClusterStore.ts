/**
 * The state of the embedded cluster: objects as small records, one version counter, and for each resource the history
 * that watches resume from. Synchronous, without clock or I/O. `KubeObjects` renders the objects.
 *
 * One file: all writers of the one store, which must agree on versions and watches.
 */
import { randomInt } from "node:crypto"
import type { WatchedResource } from "../model/ClusterEvent.ts"

/** A stored namespace. `createdAt` is in milliseconds since the epoch. */
export interface StoredNamespace {
  readonly resource: "namespaces"
  readonly key: string
  readonly name: string
  readonly resourceVersion: number
  readonly uid: number
  readonly createdAt: number
  readonly terminating: boolean
}

/** A stored deployment. `padding` is the size of its `managedFields` in bytes. */
export interface StoredDeployment {
  readonly resource: "deployments"
  readonly key: string
  readonly namespace: string
  readonly name: string
  readonly replicas: number | undefined
  readonly resourceVersion: number
  readonly generation: number
  readonly uid: number
  readonly createdAt: number
  readonly padding: number
}

export type StoredObject = StoredNamespace | StoredDeployment

/** The type of a change in a watch event. */
export type ChangeType = "ADDED" | "MODIFIED" | "DELETED"

/** A change of an object. A deleted object has its last state and the version of the deletion. */
export interface StoredChange {
  readonly type: ChangeType
  readonly object: StoredObject
}

/**
 * A position in the history of a resource; `next` is the change after it. An open watch holds its own position, so that
 * compaction never removes a change that it has yet to send.
 */
export interface HistoryNode {
  readonly change: StoredChange | undefined
  readonly resourceVersion: number
  next: HistoryNode | undefined
}

/** A consistent list of a resource at `resourceVersion`, sorted by key. */
export interface Snapshot {
  readonly resourceVersion: number
  readonly items: ReadonlyArray<StoredObject>
}

interface Collection {
  byKey: Map<string, StoredObject>
  sorted: Array<StoredObject>
  /** Whether a snapshot refers to `sorted`, which is then copied before the next change. */
  shared: boolean
  head: HistoryNode
  tail: HistoryNode
  length: number
  /** The oldest version to resume from. */
  oldest: number
  /** Snapshots of the paged lists in progress, oldest first. */
  readonly pages: Map<number, Snapshot>
}

const heldPagedLists = 32

const deploymentKey = (namespace: string, name: string): string => `${namespace}/${name}`

/** The index of the first object whose key is not below `key`. */
const lowerBound = (sorted: ReadonlyArray<StoredObject>, key: string): number => {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const at = sorted[middle]
    if (at !== undefined && at.key < key) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * The range of indexes, end exclusive, of the objects in `namespace` (undefined: all) with a key above `after`.
 */
export const rangeOf = (
  items: ReadonlyArray<StoredObject>,
  namespace: string | undefined,
  after: string | undefined
): { readonly start: number; readonly end: number } => {
  // "0" is the code unit after "/", so that every key of the namespace sorts between the two.
  const first = namespace === undefined ? 0 : lowerBound(items, `${namespace}/`)
  const end = namespace === undefined ? items.length : lowerBound(items, `${namespace}0`)
  const start = after === undefined ? first : Math.max(first, lowerBound(items, `${after}\0`))
  return { start: Math.min(start, end), end }
}

const emptyCollection = (resourceVersion: number): Collection => {
  const root: HistoryNode = { change: undefined, resourceVersion, next: undefined }
  return {
    byKey: new Map(),
    sorted: [],
    shared: false,
    head: root,
    tail: root,
    length: 0,
    oldest: resourceVersion,
    pages: new Map()
  }
}

/** Objects and history of the embedded cluster. */
export class ClusterStore {
  #resourceVersion = 1
  #uid: number
  readonly #historyLimit: number
  readonly #collections: Record<WatchedResource, Collection>
  readonly #listeners = new Set<(resource: WatchedResource) => void>()

  /**
   * `historyLimit`: the number of changes kept of each resource. `firstUid`: the serial number before the first
   * object's. It is random by default, so that objects of different clusters have different UIDs.
   */
  constructor(historyLimit: number, firstUid: number = randomInt(2 ** 47)) {
    this.#historyLimit = historyLimit
    this.#uid = firstUid
    this.#collections = { namespaces: emptyCollection(1), deployments: emptyCollection(1) }
  }

  /** The version of the latest change. */
  get resourceVersion(): number {
    return this.#resourceVersion
  }

  /** Calls `listener` after each change, until the returned function is called. */
  onChange(listener: (resource: WatchedResource) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  getNamespace(name: string): StoredNamespace | undefined {
    const object = this.#collections.namespaces.byKey.get(name)
    return object?.resource === "namespaces" ? object : undefined
  }

  getDeployment(namespace: string, name: string): StoredDeployment | undefined {
    const object = this.#collections.deployments.byKey.get(deploymentKey(namespace, name))
    return object?.resource === "deployments" ? object : undefined
  }

  /** Adds the namespace, unless it exists. */
  putNamespace(name: string, now: number): StoredNamespace {
    const existing = this.getNamespace(name)
    if (existing !== undefined) return existing
    const object: StoredNamespace = {
      resource: "namespaces",
      key: name,
      name,
      resourceVersion: this.#next(),
      uid: ++this.#uid,
      createdAt: now,
      terminating: false
    }
    this.#commit("ADDED", object)
    return object
  }

  /**
   * Removes the namespace as Kubernetes does: it becomes Terminating, then its deployments are removed, then itself.
   */
  removeNamespace(name: string): boolean {
    const existing = this.getNamespace(name)
    if (existing === undefined) return false
    const terminating: StoredNamespace = { ...existing, terminating: true, resourceVersion: this.#next() }
    this.#commit("MODIFIED", terminating)
    const { items } = this.snapshot("deployments")
    const { start, end } = rangeOf(items, name, undefined)
    for (const object of items.slice(start, end)) {
      this.#commit("DELETED", { ...object, resourceVersion: this.#next() })
    }
    this.#commit("DELETED", { ...terminating, resourceVersion: this.#next() })
    return true
  }

  /** Adds or changes the deployment, always with a new version. The namespace must exist. */
  putDeployment(
    namespace: string,
    name: string,
    replicas: number | undefined,
    now: number,
    padding?: number
  ): StoredDeployment {
    const existing = this.getDeployment(namespace, name)
    const object: StoredDeployment = {
      resource: "deployments",
      key: existing?.key ?? deploymentKey(namespace, name),
      namespace,
      name,
      replicas,
      resourceVersion: this.#next(),
      generation: existing === undefined ? 1 : existing.generation + (existing.replicas === replicas ? 0 : 1),
      uid: existing?.uid ?? ++this.#uid,
      createdAt: existing?.createdAt ?? now,
      padding: padding ?? existing?.padding ?? 0
    }
    this.#commit(existing === undefined ? "ADDED" : "MODIFIED", object)
    return object
  }

  /** Sets the replica count of a deployment. As in Kubernetes, an unchanged count makes no new version. */
  scale(namespace: string, name: string, replicas: number): StoredDeployment | undefined {
    const existing = this.getDeployment(namespace, name)
    if (existing === undefined || existing.replicas === replicas) return existing
    return this.putDeployment(namespace, name, replicas, existing.createdAt)
  }

  removeDeployment(namespace: string, name: string): boolean {
    const existing = this.getDeployment(namespace, name)
    if (existing === undefined) return false
    this.#commit("DELETED", { ...existing, resourceVersion: this.#next() })
    return true
  }

  /** The next version, for an object that is stored elsewhere (an Event). */
  next(): number {
    return this.#next()
  }

  /** The current list of the resource. */
  snapshot(resource: WatchedResource): Snapshot {
    const collection = this.#collections[resource]
    collection.shared = true
    return { resourceVersion: this.#resourceVersion, items: collection.sorted }
  }

  /** Keeps a snapshot for the next pages of a list, until compaction or until too many newer ones are kept. */
  keepPages(resource: WatchedResource, snapshot: Snapshot): void {
    const { pages } = this.#collections[resource]
    pages.delete(snapshot.resourceVersion)
    pages.set(snapshot.resourceVersion, snapshot)
    for (const oldest of pages.keys()) {
      if (pages.size <= heldPagedLists) break
      pages.delete(oldest)
    }
  }

  keptPages(resource: WatchedResource, resourceVersion: number): Snapshot | undefined {
    return this.#collections[resource].pages.get(resourceVersion)
  }

  /** The position after the latest change. */
  latest(resource: WatchedResource): HistoryNode {
    return this.#collections[resource].tail
  }

  /** The oldest version that a watch can resume from. */
  oldest(resource: WatchedResource): number {
    return this.#collections[resource].oldest
  }

  /** The position after all changes up to `resourceVersion`; undefined if the history does not reach back to it. */
  resumeAt(resource: WatchedResource, resourceVersion: number): HistoryNode | undefined {
    const collection = this.#collections[resource]
    if (resourceVersion < collection.oldest) return undefined
    let node = collection.head
    while (node.next !== undefined && node.next.resourceVersion <= resourceVersion) node = node.next
    return node
  }

  /** Compacts: drops the history and the lists in progress, so that no older version can be resumed from. */
  compact(): void {
    for (const resource of ["namespaces", "deployments"] as const) {
      const collection = this.#collections[resource]
      collection.head = collection.tail
      collection.length = 0
      collection.oldest = this.#resourceVersion
      collection.pages.clear()
    }
  }

  /** Restores from an old backup: the same objects, all versions at or below `resourceVersion`, no history. */
  rewind(resourceVersion: number): void {
    const total = this.#collections.namespaces.sorted.length + this.#collections.deployments.sorted.length
    this.#resourceVersion = Math.max(1, resourceVersion)
    let version = Math.max(0, this.#resourceVersion - total)
    for (const resource of ["namespaces", "deployments"] as const) {
      const renewed = emptyCollection(this.#resourceVersion)
      for (const object of this.#collections[resource].sorted) {
        version = Math.min(version + 1, this.#resourceVersion)
        const copy = { ...object, resourceVersion: version }
        renewed.byKey.set(copy.key, copy)
        renewed.sorted.push(copy)
      }
      this.#collections[resource] = renewed
    }
  }

  #next(): number {
    this.#resourceVersion += 1
    return this.#resourceVersion
  }

  #commit(type: ChangeType, object: StoredObject): void {
    const collection = this.#collections[object.resource]
    if (collection.shared) {
      collection.sorted = collection.sorted.slice()
      collection.shared = false
    }
    const at = lowerBound(collection.sorted, object.key)
    if (type === "DELETED") {
      collection.byKey.delete(object.key)
      collection.sorted.splice(at, 1)
    } else {
      collection.byKey.set(object.key, object)
      if (type === "MODIFIED") collection.sorted[at] = object
      else if (at === collection.sorted.length) collection.sorted.push(object)
      else collection.sorted.splice(at, 0, object)
    }
    const node: HistoryNode = { change: { type, object }, resourceVersion: object.resourceVersion, next: undefined }
    collection.tail.next = node
    collection.tail = node
    collection.length += 1
    while (collection.length > this.#historyLimit && collection.head.next !== undefined) {
      collection.head = collection.head.next
      collection.oldest = collection.head.resourceVersion
      collection.length -= 1
    }
    for (const listener of this.#listeners) listener(object.resource)
  }
}
