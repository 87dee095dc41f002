import { Cause, Duration, Effect, Exit, Fiber, Option } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { ClusterCache } from "../cache/ClusterCache.ts"
import * as View from "../cache/ClusterView.ts"
import { DeploymentScaler } from "../model/DeploymentScaler.ts"
import { type ClusterForbade, type ClusterUnavailable, type NotFound, RequestTimeout } from "../contract/Problems.ts"
import { EventRecorder } from "../model/EventRecorder.ts"
import type { DeploymentRef } from "../model/ReadModel.ts"
import type { ReplicaCount } from "../contract/ReplicaCount.ts"
import { Audit } from "../observability/Audit.ts"
import { notReady } from "./CachedResponse.ts"
import { outcomeOf } from "./Audited.ts"
import { respond } from "./ErrorResponse.ts"
import { RequestContext } from "../identity/RequestContext.ts"

const accepted = HttpServerResponse.text("{}", { contentType: "application/json" })

const tooSlow = new RequestTimeout({
  detail: "The cluster took too long to answer; the count may or may not have been set."
})

type WriteError = NotFound | ClusterForbade | ClusterUnavailable

const lateOutcome = (exit: Exit.Exit<void, WriteError>) => {
  if (Exit.isSuccess(exit)) return outcomeOf(undefined)
  if (Cause.hasInterruptsOnly(exit.cause)) return { outcome: "refused" as const, code: "Cancelled" }
  const error = Cause.findErrorOption(exit.cause)
  return Option.isSome(error) ? outcomeOf(error.value) : { outcome: "failed" as const, code: "Internal" }
}

/**
 * Endpoint 4: sets a replica count through the scaler and takes it into the cache. A write that takes longer than
 * `serveTimeout` is answered with 408. Whoever asked may be answered or gone by the time the cluster answers: a write that
 * has been sent is followed to its end all the same, and what became of it is recorded.
 */
export const make = (serveTimeout: Duration.Duration) =>
  Effect.gen(function* () {
    const audit = yield* Audit
    const cache = yield* ClusterCache
    const events = yield* EventRecorder
    const scaler = yield* DeploymentScaler
    const scope = yield* Effect.scope

    return Effect.fnUntraced(function* (ref: DeploymentRef, to: ReplicaCount) {
      const { id, identity, receivedAt } = yield* RequestContext
      const { remoteAddress } = yield* HttpServerRequest.HttpServerRequest
      if (!cache.isSynced()) return respond(notReady, id)
      const from = View.getDeployment(cache.current(), ref)?.replicas

      const carriedOut = Effect.gen(function* () {
        const { uid, ...object } = yield* scaler.scale(ref, to)
        yield* cache.written(object)
        if (identity !== undefined) {
          yield* events.record({
            ref,
            uid,
            resourceVersion: object.resourceVersion,
            from,
            to: object.replicas,
            user: identity.user,
            groups: identity.groups,
            requestId: id,
            at: receivedAt
          })
        }
      })

      const followed = (writing: Fiber.Fiber<void, WriteError>) =>
        Effect.flatMap(Effect.andThen(Fiber.interrupt(writing), Fiber.await(writing)), (exit) =>
          audit.record({
            requestId: id,
            identity,
            remoteAddress: Option.getOrUndefined(remoteAddress),
            namespace: ref.namespace,
            deployment: ref.name,
            to: String(to),
            from,
            ...lateOutcome(exit),
            late: true,
            receivedAt
          })
        )

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
      ).pipe(
        Effect.as(accepted),
        Effect.catch((error) => Effect.succeed(respond(error, id)))
      )
    })
  })
