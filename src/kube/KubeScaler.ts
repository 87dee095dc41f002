import { Duration, Effect, Fiber, Layer, Schedule } from "effect"
import { DeploymentScaler, type ScaleError, type ScaleOptions, type ScaleOutcome } from "../model/DeploymentScaler.ts"
import { ClusterUnavailable, NotFound, PreconditionFailed, Unauthorized } from "../contract/Problems.ts"
import type { NamespaceName, ReplicaCount } from "../contract/Names.ts"
import type { DeploymentRef } from "../model/ReadModel.ts"
import { KubeApi } from "./KubeApi.ts"
import type { KubeError } from "./KubeErrors.ts"

const forbade = (reason: string) => new Unauthorized({ detail: `The cluster refused the write: ${reason}` })

const retryLater = (detail: string, retryAfterSeconds: number) => ClusterUnavailable.after(detail, retryAfterSeconds)

const notFound = (ref: DeploymentRef) =>
  new NotFound({ detail: `deployment "${ref.name}" not found in namespace "${ref.namespace}"` })

/** The cluster's `Retry-After` in whole seconds, at least one. */
const secondsOf = (error: KubeError): number =>
  error._tag === "KubeStatusError" && error.retryAfter !== undefined
    ? Math.max(1, Math.ceil(Duration.toSeconds(error.retryAfter)))
    : 1

// A client sees the message of a Status only. Other messages may contain the address of the cluster.
const translate =
  (ref: DeploymentRef) =>
  (error: KubeError): NotFound | Unauthorized | ClusterUnavailable => {
    if (error._tag !== "KubeStatusError") {
      return retryLater("the cluster could not be reached, or did not answer in time", 1)
    }
    const seconds = secondsOf(error)
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

const isStatus = (error: KubeError, code: number): boolean => error._tag === "KubeStatusError" && error.code === code

const unreadable = (ref: DeploymentRef) => (error: KubeError) =>
  isStatus(error, 404)
    ? notFound(ref)
    : retryLater("the cluster refused the write, and the current count could not be read", secondsOf(error))

const failed = (ref: DeploymentRef, ifCount: ReplicaCount, current: ReplicaCount) =>
  new PreconditionFailed({
    detail: `deployment "${ref.name}" in namespace "${ref.namespace}" has the count ${current}, not ${ifCount}; nothing was set`,
    current
  })

/** The maximum number of attempts at a conditional write that the cluster refuses although the count matches. */
const attempts = 2

const make = (api: KubeApi["Service"]) => {
  const logged = (message: string, ref: DeploymentRef) => (error: KubeError) =>
    Effect.logWarning(message).pipe(
      Effect.annotateLogs({ namespace: ref.namespace, deployment: ref.name, error: error.message })
    )

  const refuse = (ref: DeploymentRef, error: KubeError) =>
    Effect.andThen(logged("Cannot set a replica count", ref)(error), Effect.fail(translate(ref)(error)))

  const write = (ref: DeploymentRef, replicas: ReplicaCount, options: ScaleOptions) =>
    Effect.retry(api.scale(ref, replicas, options), { schedule: conflicts, while: (error) => isStatus(error, 409) })

  const read = (ref: DeploymentRef) =>
    api
      .getScale(ref)
      .pipe(
        Effect.tapError(
          logged("Cannot read a replica count: this service needs the verb get on deployments/scale", ref)
        ),
        Effect.mapError(unreadable(ref))
      )

  /**
   * The cluster responds 422 both if the test of the patch fails and if admission denies the write. A read of the count
   * distinguishes them: if it is the expected count, admission denied the write. Because the count may have changed and
   * changed back in the meantime, the write is tried again before the error is returned.
   */
  const compareAndSet = (
    ref: DeploymentRef,
    replicas: ReplicaCount,
    ifCount: ReplicaCount,
    options: ScaleOptions,
    attempt: number
  ): Effect.Effect<ScaleOutcome, ScaleError> =>
    Effect.catch(write(ref, replicas, options), (error) =>
      isStatus(error, 422)
        ? Effect.flatMap(read(ref), (scale) => {
            if (scale.replicas === ifCount) {
              return attempt < attempts
                ? compareAndSet(ref, replicas, ifCount, options, attempt + 1)
                : refuse(ref, error)
            }
            return scale.replicas === replicas
              ? Effect.succeed<ScaleOutcome>({ ...scale, alreadySet: true })
              : Effect.fail(failed(ref, ifCount, scale.replicas))
          })
        : refuse(ref, error)
    )

  return (
    ref: DeploymentRef,
    replicas: ReplicaCount,
    options: ScaleOptions
  ): Effect.Effect<ScaleOutcome, ScaleError> =>
    options.ifCount === undefined
      ? Effect.catch(write(ref, replicas, options), (error) => refuse(ref, error))
      : compareAndSet(ref, replicas, options.ifCount, options, 1)
}

/**
 * `DeploymentScaler` over `KubeApi`.
 *
 * The patch has no resource version, so a conflict is one between writers inside the API server and is retried a few
 * times. No other error is retried: the client is asked to, with the cluster's `Retry-After` or one second.
 */
export const layer: Layer.Layer<DeploymentScaler, never, KubeApi> = Layer.effect(
  DeploymentScaler,
  Effect.gen(function* () {
    const scale = make(yield* KubeApi)
    const scope = yield* Effect.scope
    return DeploymentScaler.of({
      scale: (ref, replicas, options) =>
        scale(ref, replicas, options).pipe(
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
        scale: (ref, replicas, options) =>
          within.has(ref.namespace) ? scale(ref, replicas, options) : Effect.fail(notFound(ref))
      })
    })
  ).pipe(Layer.provide(layer))
