import { Chunk } from "effect"
import * as View from "../../../src/cache/ClusterView.ts"
import { Freshness, sign } from "../../../src/cache/Freshness.ts"
import type { Identity } from "../../../src/model/ClusterIdentity.ts"
import type { ClusterEvent } from "../../../src/model/ClusterEvent.ts"
import { isOlder } from "../../../src/model/ResourceVersion.ts"
import { step } from "../../../src/shared/reader/ReaderProtocol.ts"
import {
  type Emission,
  initial,
  type Input,
  type ListState,
  type Look,
  type ReadEntry,
  type Request,
  type State
} from "../../../src/shared/reader/ReaderState.ts"
import type { SharedCacheOptions } from "../../../src/shared/SharedCacheOptions.ts"
import { follows, isAfter, type LogId, type ToldEvent } from "../../../src/shared/SharedLog.ts"
import { type Objects, replacedBy, takeEvent } from "../../../src/shared/SharedObject.ts"
import { watchScopeNameOf } from "../../../src/shared/WatchScope.ts"
import { own } from "../Clusters.ts"
import type { ScriptedRedis } from "./ScriptedRedis.ts"
import { makeWatchdog, shown } from "../Shown.ts"

const eventOf = (emission: Emission): ClusterEvent => {
  if (emission._tag !== "Snapshot") return emission
  for (const event of emission.events) takeEvent(emission.objects, event)
  return replacedBy(emission.objects, emission.scope, emission.version)
}

const leaderOf = ({ last, leaseLeft }: Look) => (leaseLeft > 0 ? last.epoch : undefined)

const isTold = (emission: Emission): emission is ToldEvent =>
  emission._tag !== "Snapshot" && emission._tag !== "NamespacesReplaced" && emission._tag !== "DeploymentsReplaced"

const textOf = ({ items }: Objects) => JSON.stringify([...items].toSorted(([a], [b]) => (a < b ? -1 : 1)))

/** Whether the shown list may change so: to a later list, or to a state of an older one that is no older itself. */
const mayFollow = (next: ListState, before: ListState, leader: number | undefined): boolean => {
  const { epoch, number } = next.generation
  const shown = before.generation
  if (epoch > shown.epoch || (epoch === shown.epoch && number > shown.number)) return true
  if (isOlder(next.version, before.version)) return false
  return epoch === shown.epoch ? number === shown.number : epoch === leader
}

/**
 * The reader's protocol with a cache over its events. It collects violations of the protocol's invariants after each step,
 * and derives from the inputs alone which scopes are stale.
 */
export class DrivenReader {
  readonly violations: Array<string> = []
  /** The local clock. */
  millis = 1_000_000
  /** When the request was sent. */
  #asked = 0
  readonly #freshness: Freshness
  view: View.ClusterView
  /** The messages of the actions `Log` and `Die`. */
  readonly messages: Array<string> = []
  /** The epochs of the lists that the cache shows. */
  get shownEpochs(): ReadonlyArray<number> {
    return [...this.#shownEpochs.values()]
  }

  /** The objects of each scope that the cache shows. */
  readonly #objects = new Map<string, Objects>()
  readonly #watchdog = makeWatchdog()
  readonly #knowsHistory: boolean
  readonly #perNamespace: boolean
  readonly #stale: Set<string>
  readonly #live = new Map<string, boolean>()
  #state: State
  #position: LogId | undefined
  /** The living leader when each scope's snapshot was loaded. */
  readonly #leaders = new Map<string, number | undefined>()
  /** The scopes whose snapshot was loaded without its leader, and of which nothing was read since. */
  readonly #leaderless = new Set<string>()
  /** The epoch of each event that was read, and whether its scope was stale then. */
  readonly #origins = new WeakMap<ToldEvent, { readonly epoch: number; readonly isStale: boolean }>()
  /** The epoch of each list that the cache shows. */
  readonly #shownEpochs = new Map<string, number>()

  /** `knowsHistory`: whether the replies are those of one cluster. */
  constructor(options: SharedCacheOptions, cluster: Identity = own, knowsHistory = true) {
    this.#knowsHistory = knowsHistory
    this.#state = initial(options, cluster)
    this.#perNamespace = options.namespaces !== undefined
    this.#stale = new Set(this.#state.scopes.map(({ scope }) => scope.name))
    this.#freshness = new Freshness(options.namespaces, this.millis)
    this.view = options.namespaces === undefined ? View.empty : View.emptyOf(options.namespaces)
  }

  get state(): State {
    return this.#state
  }

  /** Whether every watch is live in the cache. */
  get isLive(): boolean {
    return this.#state.scopes.every(({ scope }) => this.#live.get(scope.name) === true)
  }

  /** What the cache says of its age, in seconds. */
  get age(): number {
    return this.#freshness.age(this.millis)
  }

  /** Violations in the content of the view. They mean something only for a cluster whose versions grow. */
  get regressions(): ReadonlyArray<string> {
    return this.#watchdog.violations
  }

  /** Takes the reply of this Redis, or its first half. A blocking read lets time pass. */
  reply(redis: ScriptedRedis): void {
    const input = this.#replyOf(this.#state.request, redis)
    if (input !== undefined) this.input(input)
    this.#checkObjects(redis)
    this.checkAge(redis)
  }

  /** The age is never less than the time since the cluster was as shown, but for the time in which a leader is missed. */
  checkAge(redis: ScriptedRedis): void {
    if (!this.#knowsHistory || !View.isSynced(this.view)) return
    const { age } = this
    const isAge = redis.history.ageOf(shown(this.view), redis.elapsed)
    if (isAge === undefined) this.violations.push(`shows a state that never was: ${JSON.stringify(shown(this.view))}`)
    else if (isAge > 1000 * (age + 1)) this.violations.push(`age ${age} instead of ${isAge / 1000}`)
  }

  disconnect(): void {
    this.input({ _tag: "Disconnected", reason: "cut" })
  }

  input(input: Input): void {
    const before = this.#state
    const [next, actions] = step(before, input, { millis: this.millis, asked: this.#asked, jitter: 1 })
    this.#note(before.request, input)
    const isHeld = next.request._tag === "Look" && next.request.why._tag === "Compare"
    if (input._tag === "LogRead" && before.request._tag === "ReadLog" && !isHeld) this.#noteEntries(input.entries)
    if (input._tag !== "Identified") this.#asked = this.millis
    // A step must not change the state that it was given.
    this.#state = Object.freeze(next)
    for (const scope of Object.freeze(next.scopes)) Object.freeze(scope)
    for (const action of actions) {
      if (action._tag === "Emit") this.#take(Chunk.toReadonlyArray(action.emissions))
      if (action._tag === "Log" || action._tag === "Die") this.messages.push(`${action._tag} ${action.message}`)
    }
    this.#checkLists(before)
    const isIgnored = next.request === before.request
    if (this.#waits && !isIgnored) this.#checkLiveness()
    if (next.actions.length > 0) this.violations.push("actions are left in the state")
  }

  /** Whether the reader has emitted all that it knows. */
  get #waits(): boolean {
    const { request } = this.#state
    return request._tag === "Connect" || (request._tag === "ReadLog" && request.blockMillis !== undefined)
  }

  #replyOf(request: Request, redis: ScriptedRedis): Input | undefined {
    switch (request._tag) {
      case "Connect":
        return { _tag: "Connected" }
      case "Look":
        return redis.look()
      case "ReadHeads": {
        const heads = Array.from(request.keys, ([scope, key]) => {
          const head = redis.headOf(key)
          return head === undefined ? [] : [[scope, head] as const]
        })
        return { _tag: "HeadsRead", heads: new Map(heads.flat()) }
      }
      case "ReadHead":
        return { _tag: "HeadRead", head: redis.headOf(request.key) }
      case "ReadPage":
        return { _tag: "PageRead", page: redis.page(request) }
      case "ReadLog": {
        const reply = redis.entriesAfter(request.from)
        if (reply.entries.length === 0 && request.blockMillis !== undefined) {
          this.millis += request.blockMillis
          redis.now += request.blockMillis
          redis.elapsed += request.blockMillis
        }
        return reply
      }
    }
  }

  /** Notes which scopes the input makes stale. */
  #note(request: Request, input: Input): void {
    if (request._tag === "Look" && input._tag === "Looked") {
      const { last } = input.look
      // Entries that the reader held until it had compared the clocks.
      if (request.why._tag === "Compare") this.#noteEntries(request.why.batch?.entries ?? [])
      if (request.why._tag !== "Resume" && request.why._tag !== "Load") return
      if (this.#position !== undefined && isAfter(this.#position, last)) this.#allStale()
      if (this.#position === undefined || isAfter(this.#position, last)) this.#position = last
    }
    const { loads } = this.#state
    if (request._tag === "ReadHead" && input._tag === "HeadRead" && loads !== undefined) {
      this.#leaders.set(request.scope.name, leaderOf(loads.look))
      this.#noteLeader(request.scope.name, input.head?.generation.epoch, loads.look)
    }
    if (request._tag === "ReadHeads" && input._tag === "HeadsRead") {
      for (const { scope } of this.#state.scopes) {
        const head = input.heads.get(scope.name)
        if (head === undefined) this.#stale.add(scope.name)
        else this.#noteLeader(scope.name, head.generation.epoch, request.look)
      }
    }
  }

  #noteEntries(entries: ReadonlyArray<ReadEntry>): void {
    for (const { content, id } of entries) {
      if (content === undefined || (this.#position !== undefined && !follows(id, this.#position))) this.#allStale()
      this.#position = id
      if (content === undefined) continue
      this.#leaderless.clear()
      if (content.entry._tag === "Listed") this.#stale.add(content.entry.scope)
      if (content.entry._tag === "Told") this.#noteEvents(content.entry.events, id.epoch)
    }
  }

  #allStale(): void {
    for (const { scope } of this.#state.scopes) this.#stale.add(scope.name)
  }

  #noteLeader(name: string, epoch: number | undefined, look: Look): void {
    if (epoch === undefined || epoch !== leaderOf(look)) this.#leaderless.add(name)
    else this.#leaderless.delete(name)
  }

  #noteEvents(events: ReadonlyArray<ToldEvent>, epoch: number): void {
    for (const event of events) {
      const isStale = this.#stale.has(watchScopeNameOf(event, this.#perNamespace))
      this.#origins.set(event, { epoch, isStale })
    }
  }

  #take(emissions: ReadonlyArray<Emission>): void {
    for (const emission of emissions) {
      if (emission._tag === "Snapshot") this.#takeSnapshot(emission)
      const event = eventOf(emission)
      const name = emission._tag === "Snapshot" ? emission.scope.name : watchScopeNameOf(event, this.#perNamespace)
      const epoch = this.#shownEpochs.get(name)
      if (epoch === undefined) this.violations.push(`${event._tag} of ${name} before its first snapshot`)
      if (event._tag === "Heard" && (this.#stale.has(name) || this.#leaderless.has(name))) {
        this.violations.push(`Heard of ${name}, which is stale or has no leader`)
      }
      const origin = isTold(emission) ? this.#origins.get(emission) : undefined
      if (origin !== undefined && (origin.isStale || origin.epoch !== epoch)) {
        this.violations.push(`${event._tag} on top of a list of ${name} that it does not belong to`)
      }
      const { heardAt, live } = sign(event)
      this.#freshness.note(event, this.millis)
      if (heardAt !== undefined && heardAt > this.millis)
        this.violations.push(`${event._tag} of ${name} from the future`)
      if (live !== undefined) this.#live.set(name, live)
      this.view = View.apply(this.view, event)
      const objects = this.#objects.get(name)
      if (objects !== undefined) takeEvent(objects, event)
    }
    if (!View.isSynced(this.view)) return
    // The view hides deployments of missing namespaces and ignores old events, so they are counted here.
    const counts = [...this.#objects.values()].flatMap((objects) =>
      objects.resource === "namespaces"
        ? []
        : Array.from(objects.items, ([path, { replicas }]) => [path, replicas] as const)
    )
    this.#watchdog.check({ ...shown(this.view), counts }, emissions.map(({ _tag }) => _tag).join(", "))
  }

  #takeSnapshot({ events, objects, scope }: Extract<Emission, { readonly _tag: "Snapshot" }>): void {
    const epoch = this.#state.scopes.find((one) => one.scope.name === scope.name)?.shown?.generation.epoch
    if (epoch === undefined) this.violations.push(`${scope.name} is emitted, but not shown`)
    else this.#shownEpochs.set(scope.name, epoch)
    if (this.#state.scopes.find((one) => one.scope === scope)?.stale === undefined) this.#stale.delete(scope.name)
    this.#objects.set(scope.name, objects)
    for (const event of events) {
      if (this.#origins.get(event)?.epoch === epoch) continue
      this.violations.push(`${event._tag} is merged into a list of ${scope.name} that it does not belong to`)
    }
  }

  /** A reader that has read the whole log shows what the leader shares. */
  #checkObjects(redis: ScriptedRedis): void {
    for (const { scope, shown, stale } of this.#state.scopes) {
      if (shown === undefined || stale !== undefined || !this.#waits) continue
      const shared = redis.shared(shown, scope, this.#state.position)
      const own = this.#objects.get(scope.name)
      if (shared === undefined || own === undefined || textOf(shared) === textOf(own)) continue
      this.violations.push(`${scope.name} shows ${textOf(own)} instead of ${textOf(shared)}`)
    }
  }

  #checkLists({ scopes }: State): void {
    for (const [at, { scope, shown }] of this.#state.scopes.entries()) {
      const before = scopes[at]?.shown
      if (before === undefined) continue
      if (shown === undefined || !mayFollow(shown, before, this.#leaders.get(scope.name))) {
        this.violations.push(`${scope.name} went from ${JSON.stringify(before)} to ${JSON.stringify(shown)}`)
      }
    }
  }

  /** A watch is live in the cache if and only if it is live, and its scope neither stale, foreign nor silent. */
  #checkLiveness(): void {
    const { foreign, position, request, scopes, silenceMillis, times } = this.#state
    const silent = this.millis - (times.wordAt ?? -Infinity) >= silenceMillis
    for (const { live, scope, shown } of scopes) {
      const isComplete = !this.#stale.has(scope.name) && shown?.generation.epoch === position?.epoch
      const expected = live && isComplete && !silent && foreign === undefined && request._tag !== "Connect"
      if ((this.#live.get(scope.name) ?? false) !== expected) {
        this.violations.push(`${scope.name} is ${expected ? "live" : "not live"}, but the cache was told otherwise`)
      }
    }
  }
}
