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
        "The cluster does not permit this service to ask what callers may do: grant its account `create` on `subjectaccessreviews.authorization.k8s.io`"
      )
    : Effect.logWarning("The cluster cannot be asked what callers may do")
  ).pipe(Effect.annotateLogs({ error: error.message }))

// The errors' own messages may name the cluster's address, so none of them reaches a client.
const translate = (error: KubeError): ClusterUnavailable => {
  const retryAfter = error._tag === "KubeStatusError" ? error.retryAfter : undefined
  return ClusterUnavailable.after(
    "The cluster decides what callers may do, and it could not be asked.",
    retryAfter === undefined ? 1 : Math.max(1, Math.ceil(Duration.toSeconds(retryAfter)))
  )
}

/**
 * `AccessReviewer` over `KubeApi`, by SubjectAccessReviews. It asks once: the caller is told to try again. The log
 * tells when the cluster stops answering and when it answers again, not of each question in between.
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
            return Effect.logInfo("The cluster answers again what callers may do")
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
