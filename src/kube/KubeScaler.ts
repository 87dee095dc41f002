import { Duration, Effect, Fiber, Layer, Schedule } from "effect"
import { DeploymentScaler } from "../model/DeploymentScaler.ts"
import { ClusterUnavailable, NotFound, Unauthorized } from "../contract/Problems.ts"
import type { NamespaceName } from "../contract/Names.ts"
import type { DeploymentRef } from "../model/ReadModel.ts"
import { KubeApi } from "./KubeApi.ts"
import type { KubeError } from "./KubeErrors.ts"

const forbade = (reason: string) => new Unauthorized({ detail: `The cluster refused the write: ${reason}` })

const retryLater = (detail: string, retryAfterSeconds: number) => ClusterUnavailable.after(detail, retryAfterSeconds)

const notFound = (ref: DeploymentRef) =>
  new NotFound({ detail: `deployment "${ref.name}" not found in namespace "${ref.namespace}"` })

// A client sees the message of a Status only. Other messages may contain the address of the cluster.
const translate =
  (ref: DeploymentRef) =>
  (error: KubeError): NotFound | Unauthorized | ClusterUnavailable => {
    if (error._tag !== "KubeStatusError") {
      return retryLater("the cluster could not be reached, or did not answer in time", 1)
    }
    const seconds = error.retryAfter === undefined ? 1 : Math.max(1, Math.ceil(Duration.toSeconds(error.retryAfter)))
    switch (error.code) {
      case 404:
        return notFound(ref)
      case 401:
        // The cluster does not authenticate this service, for instance with an expired token. The caller did nothing
        // wrong.
        return retryLater("the cluster does not accept the credentials of this service", seconds)
      case 403:
        return forbade(error.message || error.reason || "forbidden")
      case 409:
        return retryLater("the deployment is being changed by others", seconds)
      case 429:
        return retryLater("the cluster is overloaded", seconds)
    }
    // An admission webhook or a policy rejects a count with 400 or 422, and would reject it again.
    return error.code >= 400 && error.code < 500
      ? forbade(error.message || error.reason || `status ${error.code}`)
      : retryLater("the cluster failed to take the write", seconds)
  }

const conflicts = Schedule.exponential("20 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 4 }))

/**
 * `DeploymentScaler` over `KubeApi`.
 *
 * The patch has no resource version, so a conflict is one between writers inside the API server and is retried a few
 * times. No other error is retried: the client is asked to, with the cluster's `Retry-After` or one second.
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
            Effect.logWarning("Cannot set a replica count").pipe(
              Effect.annotateLogs({ namespace: ref.namespace, deployment: ref.name, error: error.message })
            )
          ),
          Effect.mapError(translate(ref)),
          // A fiber of its own, so that the timeouts hold even if the caller is uninterruptible, and the write outlives
          // it.
          Effect.forkIn(scope, { uninterruptible: false }),
          Effect.flatMap(Fiber.join),
          Effect.uninterruptible
        )
    })
  })
)

/** `layer`, restricted to these namespaces: the service sees no others, so no others exist. */
export const layerNamespaces = (
  namespaces: ReadonlyArray<NamespaceName>
): Layer.Layer<DeploymentScaler, never, KubeApi> =>
  Layer.effect(
    DeploymentScaler,
    Effect.map(DeploymentScaler, ({ scale }) => {
      const within = new Set(namespaces)
      return DeploymentScaler.of({
        scale: (ref, replicas) => (within.has(ref.namespace) ? scale(ref, replicas) : Effect.fail(notFound(ref)))
      })
    })
  ).pipe(Layer.provide(layer))
