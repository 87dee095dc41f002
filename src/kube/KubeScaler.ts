import { Duration, Effect, Fiber, Layer, Schedule } from "effect"
import { DeploymentScaler } from "../model/DeploymentScaler.ts"
import { Unauthorized, ClusterUnavailable, NotFound } from "../contract/Problems.ts"
import type { DeploymentRef } from "../model/ReadModel.ts"
import { KubeApi } from "./KubeApi.ts"
import type { KubeError } from "./KubeErrors.ts"

const forbade = (reason: string) => new Unauthorized({ detail: `The cluster refused the write: ${reason}` })

const retryLater = (detail: string, retryAfterSeconds: number) => ClusterUnavailable.after(detail, retryAfterSeconds)

// What a client is told. The errors' own messages may name the cluster's address; those of a Status, written by the
// cluster for the caller of its API, do not.
const translate =
  (ref: DeploymentRef) =>
  (error: KubeError): NotFound | Unauthorized | ClusterUnavailable => {
    if (error._tag !== "KubeStatusError") {
      return retryLater("the cluster could not be reached, or did not answer in time", 1)
    }
    const seconds = error.retryAfter === undefined ? 1 : Math.max(1, Math.ceil(Duration.toSeconds(error.retryAfter)))
    switch (error.code) {
      case 404:
        return new NotFound({ detail: `deployment "${ref.name}" not found in namespace "${ref.namespace}"` })
      case 401:
        // It is this service that the cluster does not know, as when its token has expired: nothing the caller did.
        return retryLater("the cluster does not accept the credentials of this service", seconds)
      case 403:
        return forbade(error.message || error.reason || "forbidden")
      case 409:
        return retryLater("the deployment is being changed by others", seconds)
      case 429:
        return retryLater("the cluster is overloaded", seconds)
    }
    // An admission webhook or a policy answers 400 or 422 to a count that it does not want: the cluster refused the
    // write, in its own words, and will refuse it again.
    return error.code >= 400 && error.code < 500
      ? forbade(error.message || error.reason || `status ${error.code}`)
      : retryLater("the cluster failed to take the write", seconds)
  }

const conflicts = Schedule.exponential("20 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 4 }))

/**
 * `DeploymentScaler` over `KubeApi`.
 *
 * The patch names no resource version, so a conflict is one between writers inside the API server: it is tried again a
 * few times. Nothing else is: the caller is told to, with the cluster's `Retry-After` or one second.
 */
export const layer: Layer.Layer<DeploymentScaler, never, KubeApi> = Layer.effect(
  DeploymentScaler,
  Effect.gen(function* () {
    const api = yield* KubeApi
    const scope = yield* Effect.scope
    return DeploymentScaler.of({
      scale: (ref, replicas) =>
        api.scale(ref, replicas).pipe(
          Effect.retry({
            schedule: conflicts,
            while: (error) => error._tag === "KubeStatusError" && error.code === 409
          }),
          Effect.tapError((error) =>
            Effect.logWarning("the cluster did not take a replica count").pipe(
              Effect.annotateLogs({ namespace: ref.namespace, deployment: ref.name, error: error.message })
            )
          ),
          Effect.mapError(translate(ref)),
          // A fiber of its own, so that whoever asked may go and its time limits still hold.
          Effect.forkIn(scope, { uninterruptible: false }),
          Effect.flatMap(Fiber.join),
          Effect.uninterruptible
        )
    })
  })
)
