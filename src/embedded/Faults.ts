import { Duration, Effect, Latch } from "effect"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { RequestVerb } from "./KubeRoute.ts"
import type { OpenWatch, WatchFault } from "./OpenWatch.ts"
import type { EmptyItems } from "./wire/ObjectEncoding.ts"

/** The watches that a fault affects. Default: `both`. */
export type FaultTarget = WatchedResource | "both"

/** An error response. `status` is its HTTP status, `retryAfter` the seconds of its `Retry-After` header. */
export interface ScriptedFailure {
  readonly status: number
  readonly retryAfter?: number
  /** The requests that fail. */
  readonly on: RequestVerb | "any"
  /** Limits the failure to a resource, such as `deployments` or `deployments/scale`. Default: any. */
  readonly resource?: string
}

/** An admission webhook's denial. `status` is the HTTP status: 400 by default, or what the webhook chooses, such as 422. */
export interface AdmissionDenial {
  readonly status: number
  readonly message: string
}

/** How a watch from a compacted version is rejected: by an ERROR event in a 200 response, or by the status. */
export type GoneMode = "event" | "status"

/** Differences between the wire formats of real servers. A client has to accept all of them. */
export interface WireQuirks {
  /** `items` of an empty list. Default: `array`. */
  readonly emptyItems: EmptyItems
  /** Whether list items lack `kind` and `apiVersion`, as on real servers. Default: true. */
  readonly bareListItems: boolean
  /** Whether the objects of watch events lack them, too. Default: false. */
  readonly bareWatchObjects: boolean
  /** Default: `event`. */
  readonly goneMode: GoneMode
  /**
   * Whether a watch from a version that the server has not reached is accepted and silent, as in real watch caches.
   * Default: false; it is rejected with 504 ResourceVersionTooLarge, as lists are.
   */
  readonly silentFutureWatch: boolean
  /**
   * Whether a watch ignores `sendInitialEvents`, like a server or proxy that does not know the parameter. No bookmark then
   * marks the end of the initial events. Default: false.
   */
  readonly ignoreSendInitialEvents: boolean
}

/** The behaviour of a current kube-apiserver. */
export const defaultQuirks: WireQuirks = {
  emptyItems: "array",
  bareListItems: true,
  bareWatchObjects: false,
  goneMode: "event",
  silentFutureWatch: false,
  ignoreSendInitialEvents: false
}

/**
 * Fault injection. A fault for open watches succeeds with the number of watches that it affected, so that a test can
 * tell whether it had any effect.
 */
export interface Faults {
  /** Destroys the connections of the open watches. */
  readonly dropWatches: (target?: FaultTarget) => Effect.Effect<number>
  /** Silences the open watches, bookmarks and end included, and keeps them connected. New watches work. */
  readonly stallWatches: (target?: FaultTarget) => Effect.Effect<number>
  /** Continues stalled watches. */
  readonly releaseWatches: (target?: FaultTarget) => Effect.Effect<number>
  /** Writes half an event to each open watch and destroys its connection. */
  readonly cutMidEvent: (target?: FaultTarget) => Effect.Effect<number>
  /** Writes an unparsable event to each open watch, which then continues. */
  readonly garbageEvent: (target?: FaultTarget) => Effect.Effect<number>
  /**
   * Begins an event of more than 8 MiB on each open watch: in JSON a line without its end, in protobuf only the length.
   * The bytes that follow are part of that event.
   */
  readonly oversizedEvent: (target?: FaultTarget) => Effect.Effect<number>
  /**
   * Writes an event with an invalid object to each open watch, which then continues. In protobuf the object lacks the
   * magic bytes; in JSON it is a number.
   */
  readonly wrongMagic: (target?: FaultTarget) => Effect.Effect<number>
  /** Writes an ADDED event with an object without fields to each open watch, which then continues. */
  readonly emptyObject: (target?: FaultTarget) => Effect.Effect<number>
  /**
   * Makes each open watch add unknown fields to its events: in the event, its object and all nested messages, with each
   * wire type or kind of JSON value. Clients have to ignore them.
   */
  readonly unknownFields: (target?: FaultTarget) => Effect.Effect<number>
  /** Ends each open watch with an ERROR event of status 410. */
  readonly goneNow: (target?: FaultTarget) => Effect.Effect<number>
  /** Ends each open watch cleanly, as a server does at `timeoutSeconds`. */
  readonly closeWatchesCleanly: (target?: FaultTarget) => Effect.Effect<number>
  /** While on, every new watch ends cleanly at once, without an event. */
  readonly closeNewWatches: (on: boolean) => Effect.Effect<void>
  /** Makes each open watch send its next `count` changes twice. */
  readonly duplicateNextEvents: (count: number, target?: FaultTarget) => Effect.Effect<number>
  /** Makes each open watch swap its next two changes. The first is held back until there is a second. */
  readonly reorderNextEvents: (target?: FaultTarget) => Effect.Effect<number>
  /** Makes the next `count` matching requests fail. Failures set earlier are used first. */
  readonly failNext: (count: number, failure: ScriptedFailure) => Effect.Effect<void>
  /** Number of failures that are still outstanding. */
  readonly pendingFailures: Effect.Effect<number>
  /** Delays every request; zero ends the delay. */
  readonly slow: (delay: Duration.Input) => Effect.Effect<void>
  /** While on, destroys all open and all new connections. */
  readonly unavailable: (on: boolean) => Effect.Effect<void>
  /** While on, requests get no response. Those that are still connected are served afterwards. */
  readonly hang: (on: boolean) => Effect.Effect<void>
  /** Denies the verb on the resource (such as `deployments`, `deployments/scale`) with 403 until `allowAll`. */
  readonly denyVerb: (resource: string, verb: RequestVerb) => Effect.Effect<void>
  /**
   * Makes an admission webhook deny every otherwise valid write of a scale, including dry runs. `undefined` ends it.
   */
  readonly denyScales: (denial: AdmissionDenial | undefined) => Effect.Effect<void>
  /** Undoes every `denyVerb`. */
  readonly allowAll: Effect.Effect<void>
  /** Changes the wire format. */
  readonly setQuirks: (quirks: Partial<WireQuirks>) => Effect.Effect<void>
  /** Ends all faults, and continues stalled watches and held requests. */
  readonly reset: Effect.Effect<void>
}

/** The faults in effect, as the request handlers read them. */
export class FaultSwitches {
  readonly watches = new Set<OpenWatch>()
  readonly answering = Latch.makeUnsafe(true)
  readonly #denied = new Set<string>()
  #failures: Array<{ remaining: number; readonly failure: ScriptedFailure }> = []
  delay: Duration.Duration = Duration.zero
  unavailable = false
  closeNewWatches = false
  admissionDenial: AdmissionDenial | undefined
  quirks: WireQuirks = defaultQuirks

  /** Takes a failure for the request, if there is one. */
  takeFailure(resource: string, verb: RequestVerb): ScriptedFailure | undefined {
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

  isDenied(resource: string, verb: RequestVerb): boolean {
    return this.#denied.has(`${verb} ${resource}`)
  }

  deny(resource: string, verb: RequestVerb): void {
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
    this.admissionDenial = undefined
    this.quirks = defaultQuirks
    for (const watch of this.watches) watch.release()
    this.answering.openUnsafe()
  }
}

/** Fault injection through `switches`. `disconnectAll` destroys every connection of the server. */
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
    cutMidEvent: inject("cut"),
    garbageEvent: inject("garbage"),
    oversizedEvent: inject("oversized"),
    wrongMagic: inject("wrongMagic"),
    emptyObject: inject("emptyObject"),
    unknownFields: toWatches((watch) => watch.addUnknownFields()),
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
    denyScales: (denial) =>
      Effect.sync(() => {
        switches.admissionDenial = denial
      }),
    allowAll: Effect.sync(() => switches.allowAll()),
    setQuirks: (quirks) =>
      Effect.sync(() => {
        switches.quirks = { ...switches.quirks, ...quirks }
      }),
    reset: Effect.sync(() => switches.reset())
  }
}
