import { type Duration, Effect, type Exit, Fiber } from "effect"
import { ClusterCache } from "../cache/ClusterCache.ts"
import * as ViewReads from "../cache/ViewReads.ts"
import type { ReplicaCount } from "../contract/Names.ts"
import { type ClusterUnavailable, type NotFound, RequestTimeout, type Unauthorized } from "../contract/Problems.ts"
import { RequestContext } from "../identity/RequestContext.ts"
import { DeploymentScaler } from "../model/DeploymentScaler.ts"
import { EventRecorder } from "../model/EventRecorder.ts"
import type { DeploymentRef } from "../model/ReadModel.ts"
import { Audit } from "../observability/Audit.ts"
import { outcomeOf } from "./Audited.ts"

const tooSlow = new RequestTimeout({
  detail: "The cluster took too long to answer; the count may or may not have been set."
})

const cancelled = { outcome: "refused", code: "Cancelled" } as const

type WriteError = NotFound | Unauthorized | ClusterUnavailable

/**
 * Sets a replica count through the scaler and applies it to the cache. A write that takes longer than `serveTimeout`
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

    return Effect.fnUntraced(function* (ref: DeploymentRef, to: ReplicaCount) {
      const { id, identity, receivedAt, remoteAddress } = yield* RequestContext
      const from = ViewReads.getDeployment(cache.current(), ref)?.replicas

      const carriedOut: Effect.Effect<void, WriteError> = Effect.gen(function* () {
        const { uid, ...object } = yield* scaler.scale(ref, to)
        yield* cache.written(object)
        if (identity === undefined) return
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
      })

      const recordLate = (exit: Exit.Exit<void, WriteError>) =>
        audit.record({
          requestId: id,
          identity,
          remoteAddress,
          namespace: ref.namespace,
          deployment: ref.name,
          to: String(to),
          from,
          ...outcomeOf(exit, cancelled),
          late: true,
          receivedAt
        })

      const followed = (writing: Fiber.Fiber<void, WriteError>) =>
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
