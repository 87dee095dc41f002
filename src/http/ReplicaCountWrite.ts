import { type Duration, Effect, type Exit, Fiber, Metric } from "effect"
import { ClusterCache } from "../cache/ClusterCache.ts"
import * as ViewReads from "../cache/ViewReads.ts"
import type { ReplicaCount } from "../contract/Names.ts"
import { type Precondition, preconditionText } from "../contract/Preconditions.ts"
import { RequestTimeout } from "../contract/Problems.ts"
import { RequestContext } from "../identity/RequestContext.ts"
import { DeploymentScaler, type ScaleError } from "../model/DeploymentScaler.ts"
import { EventRecorder } from "../model/EventRecorder.ts"
import type { DeploymentRef } from "../model/ReadModel.ts"
import { Audit } from "../observability/Audit.ts"
import { outcomeOf } from "./Audited.ts"

const tooSlow = new RequestTimeout({
  detail: "The cluster took too long to answer; the count may or may not have been set."
})

const cancelled = { outcome: "refused", code: "Cancelled" } as const

/** Writes refused with 412. */
const preconditionsFailed = Metric.counter("preconditions_failed_total", {
  description: "Writes refused with 412 because the desired count did not match If-Match.",
  incremental: true
})

/** The conditions of a write. */
export interface WriteConditions {
  readonly precondition: Precondition | undefined
  readonly dryRun: boolean
}

/**
 * Sets a replica count through the scaler and applies it to the cache, except in a dry run. Succeeds with whether the
 * deployment had the count already, and not that of the precondition. A write that takes longer than `serveTimeout`
 * fails with `RequestTimeout`. A write that was sent runs to its end even if its request has ended; then its outcome is
 * recorded in the audit log.
 */
export const make = (serveTimeout: Duration.Duration) =>
  Effect.gen(function* () {
    const audit = yield* Audit
    const cache = yield* ClusterCache
    const events = yield* EventRecorder
    const scaler = yield* DeploymentScaler
    const scope = yield* Effect.scope
    yield* Metric.update(preconditionsFailed, 0)

    return Effect.fnUntraced(function* (
      ref: DeploymentRef,
      to: ReplicaCount,
      { dryRun, precondition }: WriteConditions
    ) {
      const { id, identity, receivedAt, remoteAddress } = yield* RequestContext
      const from = ViewReads.getDeployment(cache.current(), ref)?.replicas

      const carriedOut: Effect.Effect<boolean, ScaleError> = Effect.gen(function* () {
        const ifCount = precondition === "*" ? undefined : precondition
        const {
          alreadySet = false,
          uid,
          ...object
        } = yield* Effect.tapErrorTag(scaler.scale(ref, to, { ifCount, dryRun }), "PreconditionFailed", () =>
          Metric.update(preconditionsFailed, 1)
        )
        if (dryRun) return alreadySet
        yield* cache.written(object)
        if (alreadySet || identity === undefined) return alreadySet
        const { groups, user } = identity
        const { replicas, resourceVersion } = object
        yield* events.record({
          ref,
          uid,
          resourceVersion,
          from,
          to: replicas,
          user,
          groups,
          requestId: id,
          at: receivedAt
        })
        return alreadySet
      })

      const recordLate = (exit: Exit.Exit<boolean, ScaleError>) =>
        audit.record({
          requestId: id,
          identity,
          remoteAddress,
          namespace: ref.namespace,
          deployment: ref.name,
          to: String(to),
          ifMatch: precondition === undefined ? undefined : preconditionText(precondition),
          dryRun,
          from,
          ...outcomeOf(exit, cancelled),
          late: true,
          receivedAt
        })

      const followed = (writing: Fiber.Fiber<boolean, ScaleError>) =>
        Effect.flatMap(Effect.andThen(Fiber.interrupt(writing), Fiber.await(writing)), recordLate)

      return yield* Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(Effect.forkIn(carriedOut, scope, { uninterruptible: true }), (writing) =>
          restore(
            Fiber.join(writing).pipe(
              Effect.timeoutOrElse({ duration: serveTimeout, orElse: () => Effect.fail(tooSlow) })
            )
          ).pipe(
            Effect.onExit(() =>
              writing.pollUnsafe() === undefined
                ? Effect.forkIn(followed(writing), scope, { uninterruptible: true })
                : Effect.void
            )
          )
        )
      )
    })
  })
