import { Duration, Effect, Latch } from "effect"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { EmptyItems } from "./KubeObjects.ts"
import type { OpenWatch, WatchFault } from "./OpenWatch.ts"

/** What a request asks of a resource. */
export type KubeVerb = "list" | "watch" | "get" | "patch" | "update" | "create" | "delete"

/** Which watches a fault meets; both resources unless one is named. */
export type FaultTarget = WatchedResource | "both"

/** A failure to answer with: `status` is the HTTP status, `retryAfter` the seconds of its `Retry-After` header. */
export interface ScriptedFailure {
  readonly status: number
  readonly retryAfter?: number
  /** Which requests it meets. */
  readonly on: KubeVerb | "any"
  /** Only requests of this resource, such as `deployments` or `deployments/scale`; any when absent. */
  readonly resource?: string
}

/** How a watch whose resourceVersion is too old is refused: in the stream of a 200 response, or by the status. */
export type GoneMode = "event" | "status"

/** How real servers differ in what they send, each of which a client has to take. */
export interface WireQuirks {
  /** How a list without items shows it. Default `array`. */
  readonly emptyItems: EmptyItems
  /** Whether list items lack `kind` and `apiVersion`, as those of real servers do. Default true. */
  readonly bareListItems: boolean
  /** Whether the objects of watch events lack them too. Default false. */
  readonly bareWatchObjects: boolean
  /** Default `event`. */
  readonly goneMode: GoneMode
  /**
   * Whether a watch from a version the server has not reached is accepted, and silent until it is reached, as real
   * watch caches do. Otherwise, and by default, it is refused with 504 ResourceVersionTooLarge as lists are.
   */
  readonly silentFutureWatch: boolean
}

/** The behaviour of a current kube-apiserver. */
export const defaultQuirks: WireQuirks = {
  emptyItems: "array",
  bareListItems: true,
  bareWatchObjects: false,
  goneMode: "event",
  silentFutureWatch: false
}

/**
 * The switchboard of the embedded cluster. What meets open watches gives back how many it met, so that a test can
 * tell a fault that struck from one that struck nothing.
 */
export interface Faults {
  /** Destroys the connections of the open watches. */
  readonly dropWatches: (target?: FaultTarget) => Effect.Effect<number>
  /** The open watches fall silent, bookmarks and their end included, but stay connected. New watches work. */
  readonly stallWatches: (target?: FaultTarget) => Effect.Effect<number>
  /** Stalled watches go on from where they were. */
  readonly releaseWatches: (target?: FaultTarget) => Effect.Effect<number>
  /** Writes half a JSON line to each open watch, then destroys its connection. */
  readonly cutMidLine: (target?: FaultTarget) => Effect.Effect<number>
  /** Writes a line that is no JSON to each open watch, which then goes on. */
  readonly garbageLine: (target?: FaultTarget) => Effect.Effect<number>
  /** Ends each open watch with an ERROR event of status 410. */
  readonly goneNow: (target?: FaultTarget) => Effect.Effect<number>
  /** Ends each open watch properly, as a server does at `timeoutSeconds`. */
  readonly closeWatchesCleanly: (target?: FaultTarget) => Effect.Effect<number>
  /** While on, every watch opened ends properly at once, without a word. */
  readonly closeNewWatches: (on: boolean) => Effect.Effect<void>
  /** Each open watch sends its next `count` changes twice. */
  readonly duplicateNextEvents: (count: number, target?: FaultTarget) => Effect.Effect<number>
  /** Each open watch sends its next two changes in the wrong order, holding the first back until there is a second. */
  readonly reorderNextEvents: (target?: FaultTarget) => Effect.Effect<number>
  /** The next `count` matching requests fail. Scripts given earlier are used up first. */
  readonly failNext: (count: number, failure: ScriptedFailure) => Effect.Effect<void>
  /** How many scripted failures have not been met yet. */
  readonly pendingFailures: Effect.Effect<number>
  /** Every request waits this long before it is served; zero ends it. */
  readonly slow: (delay: Duration.Input) => Effect.Effect<void>
  /** While on, every connection is destroyed, those open and those to come. */
  readonly unavailable: (on: boolean) => Effect.Effect<void>
  /** While on, requests are accepted and not answered. Those still connected are served when it ends. */
  readonly hang: (on: boolean) => Effect.Effect<void>
  /** Refuses the verb on the resource (such as `deployments`, `deployments/scale`) with 403 until `allowAll`. */
  readonly denyVerb: (resource: string, verb: KubeVerb) => Effect.Effect<void>
  /** Takes all of `denyVerb` back. */
  readonly allowAll: Effect.Effect<void>
  /** Changes how the server writes what it sends. */
  readonly setQuirks: (quirks: Partial<WireQuirks>) => Effect.Effect<void>
  /** Turns every switch off and releases what is held. Watches already ended stay ended. */
  readonly reset: Effect.Effect<void>
}

/** The position of the switches, as the serving of requests reads it. */
export class FaultSwitches {
  readonly watches = new Set<OpenWatch>()
  readonly answering = Latch.makeUnsafe(true)
  readonly #denied = new Set<string>()
  #failures: Array<{ remaining: number; readonly failure: ScriptedFailure }> = []
  delay: Duration.Duration = Duration.zero
  unavailable = false
  closeNewWatches = false
  quirks: WireQuirks = defaultQuirks

  /** Uses up one scripted failure that meets the request. */
  takeFailure(resource: string, verb: KubeVerb): ScriptedFailure | undefined {
    const met = this.#failures.find(
      ({ failure }) =>
        (failure.on === "any" || failure.on === verb) &&
        (failure.resource === undefined || failure.resource === resource)
    )
    if (met === undefined) return undefined
    met.remaining -= 1
    if (met.remaining <= 0) this.#failures = this.#failures.filter((each) => each !== met)
    return met.failure
  }

  scriptFailure(count: number, failure: ScriptedFailure): void {
    if (count > 0) this.#failures.push({ remaining: count, failure })
  }

  get pendingFailures(): number {
    return this.#failures.reduce((sum, { remaining }) => sum + remaining, 0)
  }

  isDenied(resource: string, verb: KubeVerb): boolean {
    return this.#denied.has(`${verb} ${resource}`)
  }

  deny(resource: string, verb: KubeVerb): void {
    this.#denied.add(`${verb} ${resource}`)
  }

  allowAll(): void {
    this.#denied.clear()
  }

  reset(): void {
    this.#failures = []
    this.#denied.clear()
    this.delay = Duration.zero
    this.unavailable = false
    this.closeNewWatches = false
    this.quirks = defaultQuirks
    for (const watch of this.watches) watch.release()
    this.answering.openUnsafe()
  }
}

/** The switchboard over `switches`; `disconnectAll` destroys every connection of the server. */
export const makeFaults = (switches: FaultSwitches, disconnectAll: () => void): Faults => {
  const toWatches =
    (meet: (watch: OpenWatch) => void) =>
    (target: FaultTarget = "both"): Effect.Effect<number> =>
      Effect.sync(() => {
        const met = [...switches.watches].filter((watch) => target === "both" || watch.plan.resource === target)
        for (const watch of met) meet(watch)
        return met.length
      })
  const inject = (fault: WatchFault) => toWatches((watch) => watch.inject(fault))

  return {
    dropWatches: toWatches((watch) => {
      watch.drop()
      switches.watches.delete(watch)
    }),
    stallWatches: toWatches((watch) => watch.stall()),
    releaseWatches: toWatches((watch) => watch.release()),
    cutMidLine: inject("cut"),
    garbageLine: inject("garbage"),
    goneNow: inject("gone"),
    closeWatchesCleanly: inject("close"),
    closeNewWatches: (on) =>
      Effect.sync(() => {
        switches.closeNewWatches = on
      }),
    duplicateNextEvents: (count, target) => toWatches((watch) => watch.duplicateNext(count))(target),
    reorderNextEvents: toWatches((watch) => watch.swapNext()),
    failNext: (count, failure) => Effect.sync(() => switches.scriptFailure(count, failure)),
    pendingFailures: Effect.sync(() => switches.pendingFailures),
    slow: (delay) =>
      Effect.sync(() => {
        switches.delay = Duration.fromInputUnsafe(delay)
      }),
    unavailable: (on) =>
      Effect.sync(() => {
        switches.unavailable = on
        if (on) disconnectAll()
      }),
    hang: (on) =>
      Effect.sync(() => {
        if (on) switches.answering.closeUnsafe()
        else switches.answering.openUnsafe()
      }),
    denyVerb: (resource, verb) => Effect.sync(() => switches.deny(resource, verb)),
    allowAll: Effect.sync(() => switches.allowAll()),
    setQuirks: (quirks) =>
      Effect.sync(() => {
        switches.quirks = { ...switches.quirks, ...quirks }
      }),
    reset: Effect.sync(() => switches.reset())
  }
}
