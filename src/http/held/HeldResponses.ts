/**
 * The responses that wait for changes: waits and event streams. Each is limited per user and in total, and ends when the instance
 * drains or its client is not permitted or identified any more.
 */
import { Cause, Clock, Context, Duration, Effect, Exit, FiberSet, Metric, Option, type Scope } from "effect"
import type { ServerResponse } from "node:http"
import { Authorization } from "../../authorization/Authorization.ts"
import { ClusterCache } from "../../cache/ClusterCache.ts"
import { BadRequest, TooManyRequests, Unidentified } from "../../contract/Problems.ts"
import { ClientIdentity } from "../../identity/Identity.ts"
import type { ResponseBytes } from "../../limits/ResponseBytes.ts"
import * as Metrics from "../../observability/Metrics.ts"
import { Lifecycle } from "../Lifecycle.ts"
import type { Subscriber } from "../../cache/Subscriptions.ts"
import { EventStream, type Resumption, type StreamContext, type StreamEnd } from "./EventStream.ts"
import * as HeldPlaces from "./HeldPlaces.ts"
import type { HeldProblem, HeldRequest, HeldResponse } from "./HeldResponse.ts"
import { Pump } from "./Pump.ts"
import { Wait } from "./Wait.ts"

/** Limits of held responses, named as the settings. */
export interface HeldLimits {
  readonly maxWait: Duration.Duration
  readonly maxStreamAge: Duration.Duration
  readonly responseTimeout: Duration.Duration
  readonly maxConnections: number
  /** Unset: a quarter of all connections. */
  readonly maxWaiters: number | undefined
  readonly maxStreams: number | undefined
}

/**
 * Takes a connection out of the limits on requests until the returned function is called. `undefined`: a further request has
 * arrived on the connection, so the response must not wait.
 */
export type Hold = (response: ServerResponse, supersede: () => void) => (() => void) | undefined

type Kind = HeldResponse["kind"]

const plural = { wait: "waits", stream: "streams" } as const

const followed = new BadRequest({
  detail: "An event stream ends with its connection: no further request may follow on the connection."
})

const invalid = new Unidentified({ detail: "The client certificate is not valid any more." })

/** How often identity and permission of a held response are verified. Each is also verified before anything is sent. */
const verifyMillis = 2000

const tickMillis = 1000

/** How long a response may wait for the authorizer of the cluster. */
const unansweredMillis = 4000

/** A client that is refused a place should not ask again at once. */
const refusedSeconds = 5

const refusal = (kind: Kind, limit: "total" | "user"): TooManyRequests =>
  Object.assign(
    new TooManyRequests({
      detail: `Too many ${kind === "wait" ? "waiting reads" : "event streams"} ${limit === "user" ? "of this user" : "in all"}.`
    }),
    { retryAfterSeconds: refusedSeconds }
  )

const series = {
  refused: (kind: Kind, limit: "total" | "user") =>
    Metric.counter(`${plural[kind]}_refused_total`, {
      description: `${kind === "wait" ? "Waits" : "Event streams"} refused with 429, by the limit: in \`total\` or of one \`user\`.`,
      incremental: true,
      attributes: { limit }
    }),
  waits: (outcome: "changed" | "unchanged" | "ended") =>
    Metric.counter("waits_total", {
      description:
        "Reads that waited, by outcome: `changed`, `unchanged` until the time was over, or `ended` by the service.",
      incremental: true,
      attributes: { outcome }
    }),
  streams: (reason: StreamEnd) =>
    Metric.counter("streams_ended_total", {
      description: "Event streams that ended, by reason. `closed`: by the client. `stalled`: the client did not read.",
      incremental: true,
      attributes: { reason }
    }),
  events: (event: "snapshot" | "change") =>
    Metric.counter("stream_events_total", {
      description: "Events sent on event streams.",
      incremental: true,
      attributes: { event }
    }),
  wakes: (kind: Kind) =>
    Metric.counter("wakes_total", {
      description: "Waits and event streams that a change of their target woke.",
      incremental: true,
      attributes: { kind }
    })
}

const outcomes = ["changed", "unchanged", "ended"] as const
const ends = [
  "shutdown",
  "superseded",
  "unavailable",
  "certificate",
  "permission",
  "max_age",
  "gone",
  "closed",
  "stalled",
  "behind"
] as const satisfies ReadonlyArray<StreamEnd>

/** Updates of the metrics. Each series begins at 0. */
const makeCounters = Effect.map(Effect.context<never>(), (context) => {
  const counter = <K extends string>(keys: ReadonlyArray<K>, of: (key: K) => Metric.Counter<number>) => {
    const updaters = new Map(keys.map((key) => [key, Metrics.updater(of(key), context)]))
    for (const update of updaters.values()) update(0)
    return (key: K) => updaters.get(key)?.(1)
  }
  const limits = ["total", "user"] as const
  return {
    refused: {
      wait: counter(limits, (limit) => series.refused("wait", limit)),
      stream: counter(limits, (limit) => series.refused("stream", limit))
    },
    waits: counter(outcomes, series.waits),
    streams: counter(ends, series.streams),
    events: counter(["snapshot", "change"], series.events),
    wakes: counter(["wait", "stream"], series.wakes)
  }
})

/** What is known about the permission of a held response. Times are in milliseconds of the monotonic clock. */
interface Standing {
  /** When identity and permission were last verified. */
  verifiedAt: number
  /** When the authorizer last allowed it after a review. */
  reviewedAt: number
  /** Since when the authorizer has not answered. */
  unansweredSince: number | undefined
  isUnderReview: boolean
}

/** Holds responses. A started one is cancelled with the returned function. */
export class HeldResponses extends Context.Service<
  HeldResponses,
  {
    /** The seconds that a wait may last. */
    readonly maxWaitSeconds: number
    /**
     * Waits until the tag of the read differs from `etag`, or the time is over. Then calls `done`; without a problem, the read
     * is to be answered. "followed": it is to be answered now, because a further request waits on its connection.
     */
    readonly wait: (
      held: HeldRequest,
      etag: string,
      seconds: number,
      done: (problem: HeldProblem | undefined) => void
    ) => TooManyRequests | "followed" | (() => void)
    /**
     * Sends events over a response. `begin` sends its head, once there is a place. Calls `done` with the bytes of the body
     * when the stream has ended.
     */
    readonly stream: (
      held: HeldRequest,
      resumption: Resumption,
      begin: () => void,
      done: (end: StreamEnd, bytes: number) => void
    ) => TooManyRequests | BadRequest | (() => void)
  }
>()("kube-resource-api/http/held/HeldResponses") {}

/** Held responses for as long as the scope is open. */
export const make = Effect.fnUntraced(function* (
  limits: HeldLimits,
  responseBytes: ResponseBytes["Service"],
  hold: Hold
): Effect.fn.Return<
  HeldResponses["Service"],
  never,
  Authorization | ClusterCache | ClientIdentity | Lifecycle | Scope.Scope
> {
  const authorization = yield* Authorization
  const cache = yield* ClusterCache
  const identities = yield* ClientIdentity
  const lifecycle = yield* Lifecycle
  const clock = yield* Clock.Clock
  const count = yield* makeCounters
  const fork = yield* FiberSet.makeRuntime<never, void, never>()
  const all = new Map<HeldResponse, Standing>()
  const quarter = Math.ceil(limits.maxConnections / 4)
  const places = {
    wait: HeldPlaces.make(limits.maxWaiters ?? quarter),
    stream: HeldPlaces.make(limits.maxStreams ?? quarter)
  }
  yield* Metrics.gauge({ name: "waits_open", description: "Reads that wait for a change." }, places.wait.taken)
  yield* Metrics.gauge({ name: "streams_open", description: "Open event streams." }, places.stream.taken)

  const review = (one: HeldResponse, standing: Standing): void => {
    if (standing.isUnderReview) return
    standing.isUnderReview = true
    const { identity, read } = one.held
    fork(
      Effect.map(Effect.exit(authorization.check(identity, read.access)), (exit) => {
        standing.isUnderReview = false
        const now = performance.now()
        if (Exit.isSuccess(exit)) {
          standing.reviewedAt = now
          standing.unansweredSince = undefined
          pump.wake(one)
        } else if (!Cause.hasInterruptsOnly(exit.cause)) {
          const problem = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
          if (problem === undefined) one.crash()
          else if (problem.code !== "ClusterUnavailable") one.end({ reason: "permission", problem })
          // Nothing is sent meanwhile, and the next verification asks again.
          else if (now - (standing.unansweredSince ??= now) >= unansweredMillis) {
            one.end({ reason: "unavailable", problem })
          }
        }
      })
    )
  }

  /** Whether the client is still identified and permitted. Otherwise the response ends, or the cluster is asked first. */
  const isVerified = (one: HeldResponse, standing: Standing): boolean => {
    const now = clock.currentTimeMillisUnsafe()
    const { identity, read, request } = one.held
    if (identities.of(request.socket, now)?.user !== identity.user) {
      one.end({ reason: "certificate", problem: invalid })
      return false
    }
    standing.verifiedAt = performance.now()
    if (authorization.alreadyAllows(identity, read.access, now)) return true
    // A decision that the authorizer does not cache holds until the next verification.
    if (standing.verifiedAt - standing.reviewedAt < verifyMillis) return true
    review(one, standing)
    return false
  }

  /** A defect ends only the response that it concerns. */
  const guarded = (one: HeldResponse, act: () => void): void => {
    try {
      act()
    } catch (defect) {
      one.crash()
      fork(Effect.logError("A held response ended in a defect", Cause.die(defect)))
    }
  }

  const pump = new Pump<HeldResponse>((one) =>
    guarded(one, () => {
      const standing = all.get(one)
      if (standing !== undefined && isVerified(one, standing)) one.proceed()
    })
  )

  const tick = Effect.sync(() => {
    const now = performance.now()
    for (const [one, standing] of all) {
      guarded(one, () => {
        if (now - standing.verifiedAt >= verifyMillis) isVerified(one, standing)
        one.tick(now)
      })
    }
  })
  yield* Effect.forkScoped(Effect.forever(Effect.delay(tick, tickMillis)))

  const endAll = Effect.sync(() => {
    for (const one of all.keys()) guarded(one, () => one.end({ reason: "shutdown" }))
  })
  yield* Effect.forkScoped(Effect.andThen(lifecycle.awaitShutdown, endAll))

  /** Takes a place and the connection out of the limits on requests. The result gives the connection back. */
  const admit = (kind: Kind, { identity, response }: HeldRequest, supersede: () => void) => {
    const unhold = hold(response, supersede)
    if (unhold === undefined) return "followed"
    const limit = places[kind].take(identity.user)
    if (limit === undefined) return unhold
    unhold()
    count.refused[kind](limit)
    return refusal(kind, limit)
  }

  /** Registers a response that has taken a place; the result removes it. */
  const enter = (one: HeldResponse, changed: Subscriber, unhold: () => void): (() => void) => {
    const { identity, read } = one.held
    const unsubscribe = cache.subscribe(read, (change) => {
      count.wakes(one.kind)
      changed(change)
    })
    all.set(one, {
      verifiedAt: performance.now(),
      reviewedAt: Number.NEGATIVE_INFINITY,
      unansweredSince: undefined,
      isUnderReview: false
    })
    return () => {
      if (!all.delete(one)) return
      unhold()
      unsubscribe()
      pump.forget(one)
      places[one.kind].release(identity.user)
    }
  }

  const streamContext: StreamContext = {
    cache,
    responseBytes,
    maxAgeMillis: Duration.toMillis(limits.maxStreamAge),
    responseTimeoutMillis: Duration.toMillis(limits.responseTimeout),
    rendered: { first: undefined, view: undefined, tag: undefined, text: "" },
    wake: (stream) => pump.wake(stream),
    sent: count.events
  }

  return {
    maxWaitSeconds: Duration.toSeconds(limits.maxWait),
    wait: (held, etag, seconds, done) => {
      const supersede = () => guarded(one, () => one.end({ reason: "superseded" }))
      const unhold = admit("wait", held, supersede)
      if (typeof unhold !== "function") return unhold
      const timer = setTimeout(() => guarded(one, () => one.expire()), seconds * 1000)
      const one: Wait = new Wait(held, etag, cache, (outcome, problem) => {
        count.waits(outcome)
        leave()
        done(problem)
      })
      const remove = enter(one, () => pump.wake(one), unhold)
      const leave = () => {
        clearTimeout(timer)
        remove()
      }
      return () => {
        one.cancel()
        leave()
      }
    },
    stream: (held, resumption, begin, done) => {
      const supersede = () => guarded(one, () => one.end({ reason: "superseded" }))
      const unhold = admit("stream", held, supersede)
      if (unhold === "followed") return followed
      if (typeof unhold !== "function") return unhold
      begin()
      const one: EventStream = new EventStream(held, resumption, streamContext, (end, bytes) => {
        count.streams(end)
        leave()
        done(end, bytes)
      })
      const leave = enter(one, one.changed, unhold)
      if (lifecycle.isShuttingDown()) one.end({ reason: "shutdown" })
      else one.proceed()
      return () => one.cancel()
    }
  }
})
