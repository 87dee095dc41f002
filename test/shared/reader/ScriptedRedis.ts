import { Result } from "effect"
import { type Identity, isSame } from "../../../src/model/ClusterIdentity.ts"
import type { ClusterEvent } from "../../../src/model/ClusterEvent.ts"
import type { Head, Input, ListState, Page, ReadEntry, Request } from "../../../src/shared/reader/ReaderState.ts"
import { type LogEntry, type LogId, isAfter, start, type ToldEvent } from "../../../src/shared/SharedLog.ts"
import { appliedOf, changeOf, noObjects, type Objects, takeField } from "../../../src/shared/SharedObject.ts"
import { type WatchScope, watchScopeNameOf } from "../../../src/shared/WatchScope.ts"
import * as Given from "../../cache/Given.ts"
import { own } from "../Clusters.ts"
import { History, truth } from "../Shown.ts"

export const leaseMillis = 1000

/** Entries and fields per reply: few, so that catching up and a scan take several. */
const entriesAtOnce = 3
const fieldsAtOnce = 2
/** The interval of heartbeats that the leader names. */
const beatMillis = 300

type PageRequest = Extract<Request, { readonly _tag: "ReadPage" }>

interface Stored {
  readonly head: Head
  readonly fields: ReadonlyMap<string, string>
}

/** What Redis holds. */
interface Content {
  readonly log: ReadonlyArray<ReadEntry>
  readonly last: LogId
  readonly watched: ReadonlyArray<string> | undefined
  readonly cluster: Identity | undefined
  readonly keys: ReadonlyMap<string, string>
  readonly snapshots: ReadonlyMap<string, Stored>
  readonly leaseUntil: number
}

const empty: Content = {
  log: [],
  last: start,
  watched: undefined,
  cluster: undefined,
  keys: new Map(),
  snapshots: new Map(),
  leaseUntil: 0
}

/** A Redis in memory with a leader that writes to it, and a cluster whose versions only grow. */
export class ScriptedRedis {
  /** Redis' clock. */
  now: number
  readonly namespaces = new Set<string>(["keep"])
  readonly deployments = new Map<string, { readonly replicas: number; readonly version: number }>([
    ["keep/always", { replicas: 1, version: 2 }]
  ])
  readonly #scopes: ReadonlyArray<WatchScope>
  readonly #perNamespace: boolean
  #content = empty
  #saved = empty
  /** The leader's last entry, and how many lists it wrote. */
  #leader: { readonly last: LogId; readonly lists: number } | undefined
  #version: number
  readonly #epochs = new Set<number>()
  /** The cluster of each leader. */
  readonly #clusters = new Map<number, Identity>()
  /** The time that has passed, whatever Redis' clock says. */
  elapsed = 0
  readonly history = new History()

  constructor(scopes: ReadonlyArray<WatchScope>, { now = 1_000_000, version = 10 } = {}) {
    this.now = now
    this.#scopes = scopes
    this.#version = version
    this.#perNamespace = scopes.some(({ namespace }) => namespace !== undefined)
    this.#changed()
  }

  get scopes(): ReadonlyArray<string> {
    return this.#scopes.map(({ name }) => name)
  }

  // The leader

  /** Another cluster than the last one leads only after its keys were deleted. */
  lead(watched: ReadonlyArray<string> = this.scopes, cluster: Identity = own): void {
    const before = this.#content.cluster
    if (before !== undefined && !isSame(before, cluster)) this.#content = empty
    const epoch = this.#nextEpoch()
    this.#clusters.set(epoch, cluster)
    this.#content = { ...this.#content, watched, cluster, leaseUntil: this.now + leaseMillis }
    this.#append({ epoch, seq: 0 }, { _tag: "Began", cluster, scopes: watched })
    this.#leader = { last: { epoch, seq: 0 }, lists: 0 }
  }

  /** The cluster of the leader of an epoch. */
  clusterOf(epoch: number): Identity | undefined {
    return this.#clusters.get(epoch)
  }

  list(name: string): void {
    const scope = this.#scopes.find((one) => one.name === name)
    if (scope === undefined || !this.#leads()) return
    const { last, lists } = this.#leader ?? { last: start, lists: 0 }
    const number = lists + 1
    const event = this.#listOf(scope)
    const fields = new Map(
      appliedOf(event).flatMap((one) => {
        const change = changeOf(one)
        return change === undefined ? [] : [[change.field, change.text ?? ""] as const]
      })
    )
    const head = {
      generation: { epoch: last.epoch, number },
      version: event.resourceVersion,
      heardAt: this.now,
      live: false
    }
    const key = `${name}:${last.epoch}:${number}`
    this.#leader = { last, lists: number }
    this.#content = {
      ...this.#content,
      keys: new Map(this.#content.keys).set(name, key),
      snapshots: new Map(this.#content.snapshots).set(key, { head, fields })
    }
    this.#write({ _tag: "Listed", scope: name })
  }

  /** An event of a watch. */
  tell(event: ToldEvent): void {
    if (!this.#leads()) return
    const name = watchScopeNameOf(event, this.#perNamespace)
    const key = this.#content.keys.get(name)
    const stored = key === undefined ? undefined : this.#content.snapshots.get(key)
    if (key !== undefined && stored?.head.generation.epoch === this.#leader?.last.epoch && stored !== undefined) {
      const fields = new Map(stored.fields)
      const change = changeOf(event)
      if (change?.text !== undefined) fields.set(change.field, change.text)
      else if (change !== undefined) fields.delete(change.field)
      const live = event._tag !== "Lost"
      const head = {
        ...stored.head,
        version: change?.resourceVersion ?? stored.head.version,
        live,
        heardAt: live ? this.now : stored.head.heardAt
      }
      this.#content = {
        ...this.#content,
        snapshots: new Map(this.#content.snapshots).set(key, { head, fields })
      }
    }
    this.#write({ _tag: "Told", events: [event] })
  }

  sign(tag: "Heard" | "Lost", name: string): void {
    const scope = this.#scopes.find((one) => one.name === name)
    if (scope !== undefined) this.tell({ _tag: tag, resource: scope.resource, namespace: scope.namespace })
  }

  beat(live: ReadonlyArray<string> = this.scopes): void {
    if (this.#leads()) this.#content = { ...this.#content, leaseUntil: this.now + leaseMillis }
    this.#write({ _tag: "Beat", everyMillis: beatMillis, live: live.map((scope) => ({ scope, agoMillis: 0 })) })
  }

  end(): void {
    this.#write({ _tag: "Ended" })
    this.#content = { ...this.#content, leaseUntil: 0 }
    this.#leader = undefined
  }

  /** The leader writes nothing more, and its lease stays. */
  die(): void {
    this.#leader = undefined
  }

  // The cluster

  put(path: string): void {
    const [namespace = ""] = path.split("/")
    if (!this.namespaces.has(namespace)) {
      this.namespaces.add(namespace)
      this.#changed()
      this.#toldOf(Given.namespaceApplied(namespace, ++this.#version))
    }
    const version = ++this.#version
    this.deployments.set(path, { replicas: version, version })
    this.#changed()
    this.#toldOf(Given.applied(path, version, version))
  }

  delete(path: string): void {
    if (!this.deployments.delete(path)) return
    this.#changed()
    this.#toldOf(Given.deleted(path, ++this.#version))
  }

  deleteNamespace(name: string): void {
    for (const path of this.deployments.keys()) if (path.startsWith(`${name}/`)) this.delete(path)
    if (!this.namespaces.delete(name)) return
    this.#changed()
    this.#toldOf(Given.namespaceDeleted(name, ++this.#version))
  }

  #changed(): void {
    this.history.record(truth(this), this.elapsed)
  }

  // Faults

  garbage(newEpoch: boolean): void {
    const { epoch, seq } = this.#content.last
    this.#append(newEpoch ? { epoch: this.#nextEpoch(), seq: 0 } : { epoch, seq: seq + 100 }, undefined)
  }

  trim(kept: number): void {
    this.#content = { ...this.#content, log: kept === 0 ? [] : this.#content.log.slice(-kept) }
  }

  /** Adds a field that no reader can decode. */
  corrupt(name: string): void {
    const key = this.#content.keys.get(name)
    const stored = key === undefined ? undefined : this.#content.snapshots.get(key)
    if (key === undefined || stored === undefined) return
    const fields = new Map(stored.fields).set("keep/bad", "{}")
    this.#content = { ...this.#content, snapshots: new Map(this.#content.snapshots).set(key, { ...stored, fields }) }
  }

  lose(what: "log" | "keys" | "snapshots" | "all"): void {
    const { keys, last, log, snapshots } = what === "all" ? empty : this.#content
    this.#content = {
      ...(what === "all" ? empty : this.#content),
      log: what === "log" ? [] : log,
      last: what === "log" ? start : last,
      keys: what === "keys" ? new Map() : keys,
      snapshots: what === "snapshots" ? new Map() : snapshots
    }
  }

  save(): void {
    this.#saved = this.#content
  }

  /** Returns with the saved state, as a lagging replica does. */
  restore(): void {
    this.#content = this.#saved
  }

  // The reader's requests

  /** A page of the snapshot that a `ReadPage` asks for. The cursor is the last field of the page. */
  page({ cursor, key, objects: before, scope }: PageRequest): Result.Result<Page, string> {
    const objects = before ?? noObjects(scope)
    const fields = [...(this.#content.snapshots.get(key)?.fields ?? [])]
      .filter(([field]) => cursor === "0" || field > cursor)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
    const page = fields.slice(0, fieldsAtOnce)
    for (const [field, text] of page) {
      const taken = takeField(objects, field, text)
      if (Result.isFailure(taken)) return Result.fail(taken.failure)
    }
    return Result.succeed({ objects, cursor: fields.length > page.length ? page.at(-1)?.[0] : undefined })
  }

  /** The objects that a reader of the leader's list shows once it has read the whole log; undefined for other lists. */
  shared({ generation }: ListState, scope: WatchScope, position: LogId | undefined): Objects | undefined {
    const { keys, last } = this.#content
    const key = keys.get(scope.name)
    const head = key === undefined ? undefined : this.headOf(key)?.generation
    const isCaughtUp = position?.epoch === last.epoch && position.seq === last.seq && generation.epoch === last.epoch
    const isInUse = head?.epoch === generation.epoch && head.number === generation.number
    if (key === undefined || !isCaughtUp || !isInUse || !this.#leads()) return undefined
    const objects = noObjects(scope)
    for (const [field, text] of this.#content.snapshots.get(key)?.fields ?? []) {
      if (Result.isFailure(takeField(objects, field, text))) return undefined
    }
    return objects
  }

  headOf(key: string): Head | undefined {
    return this.#content.snapshots.get(key)?.head
  }

  entriesAfter(from: LogId): Extract<Input, { readonly _tag: "LogRead" }> {
    const entries = this.#content.log.filter(({ id }) => isAfter(id, from)).slice(0, entriesAtOnce)
    return { _tag: "LogRead", entries, isFull: entries.length === entriesAtOnce }
  }

  look(): Extract<Input, { readonly _tag: "Looked" }> {
    const { cluster, keys, last, leaseUntil, log, watched } = this.#content
    const lastAt = log.at(-1)?.content?.at ?? 0
    const leaseLeft = leaseUntil - this.now
    return { _tag: "Looked", look: { now: this.now, last, lastAt, leaseLeft, cluster, watched, keys } }
  }

  #nextEpoch(): number {
    // Epochs are so far apart that none occurs twice, not even after a loss of memory.
    do this.now += 10
    while (this.#epochs.has(Math.max(this.#content.last.epoch + 1, this.now)))
    const epoch = Math.max(this.#content.last.epoch + 1, this.now)
    // The epochs went back. Readers would take a state from before that for a later one.
    if (epoch < Math.max(...this.#epochs)) this.#saved = empty
    this.#epochs.add(epoch)
    return epoch
  }

  #listOf(scope: WatchScope) {
    const resourceVersion = Given.rv(this.#version)
    if (scope.resource === "namespaces") {
      const items = Array.from(this.namespaces, (name) => ({ name: Given.ns(name), resourceVersion: Given.rv(1) }))
      return { _tag: "NamespacesReplaced", items, resourceVersion } as const
    }
    const items = Array.from(this.deployments, ([path, { replicas, version }]) =>
      Given.deployment(path, replicas, version)
    ).filter(({ namespace }) => scope.namespace === undefined || namespace === scope.namespace)
    return { _tag: "DeploymentsReplaced", items, resourceVersion, namespace: scope.namespace } as const
  }

  #toldOf(event: ClusterEvent): void {
    if (event._tag !== "NamespacesReplaced" && event._tag !== "DeploymentsReplaced") this.tell(event)
  }

  /** Redis refuses the writes of a leader whose last entry does not end the log. */
  #leads(): boolean {
    const { last } = this.#content
    const own = this.#leader?.last
    if (own?.epoch !== last.epoch || own.seq !== last.seq) this.#leader = undefined
    return this.#leader !== undefined
  }

  #write(entry: LogEntry): void {
    if (!this.#leads() || this.#leader === undefined) return
    const { last, lists } = this.#leader
    const id = { epoch: last.epoch, seq: last.seq + 1 }
    this.#append(id, entry)
    this.#leader = { last: id, lists }
  }

  #append(id: LogId, entry: LogEntry | undefined): void {
    const content = entry === undefined ? undefined : { at: this.now, entry }
    this.#content = { ...this.#content, log: [...this.#content.log, { id, content }], last: id }
  }
}
