import { Duration, Effect, Layer } from "effect"
import { AccessReviewer } from "../model/AccessReviewer.ts"
import { ClusterUnavailable } from "../contract/Problems.ts"
import { KubeApi } from "./KubeApi.ts"
import type { KubeError } from "./KubeErrors.ts"

type Trouble = "forbidden" | "failing"

const troubleOf = (error: KubeError): Trouble =>
  error._tag === "KubeStatusError" && error.isForbidden ? "forbidden" : "failing"

const report = (trouble: Trouble, error: KubeError): Effect.Effect<void> =>
  (trouble === "forbidden"
    ? Effect.logError(
        "The cluster does not permit this service to review access: grant its account `create` on `subjectaccessreviews.authorization.k8s.io`"
      )
    : Effect.logWarning("Access reviews fail")
  ).pipe(Effect.annotateLogs({ error: error.message }))

// The messages of the errors may contain the address of the cluster, so they are not sent to clients.
const translate = (error: KubeError): ClusterUnavailable => {
  const retryAfter = error._tag === "KubeStatusError" ? error.retryAfter : undefined
  return ClusterUnavailable.after(
    "The cluster decides what callers may do, and it could not be asked.",
    retryAfter === undefined ? 1 : Math.max(1, Math.ceil(Duration.toSeconds(retryAfter)))
  )
}

/**
 * `AccessReviewer` over `KubeApi`, by SubjectAccessReviews. It does not retry: the client is asked to. The log has a
 * record when reviews begin to fail and when they succeed again, not one for each review.
 */
export const layer: Layer.Layer<AccessReviewer, never, KubeApi> = Layer.effect(
  AccessReviewer,
  Effect.gen(function* () {
    const api = yield* KubeApi
    let known: Trouble | undefined
    return AccessReviewer.of({
      review: (question) =>
        api.accessReview(question).pipe(
          Effect.tap(() => {
            if (known === undefined) return Effect.void
            known = undefined
            return Effect.logInfo("Access reviews succeed again")
          }),
          Effect.tapError((error) => {
            const trouble = troubleOf(error)
            if (known === trouble) return Effect.void
            known = trouble
            return report(trouble, error)
          }),
          Effect.mapBoth({ onFailure: translate, onSuccess: ({ allowed }) => allowed })
        )
    })
  })
)
