import { Cause, Effect, Exit, Layer, Schema } from "effect"
import { HttpRouter, HttpServerRequest } from "effect/http"
import { ClusterCache } from "../cache/ClusterCache.ts"
import * as View from "../cache/ClusterView.ts"
import * as ViewReads from "../cache/ViewReads.ts"
import { Resources } from "../contract/Api.ts"
import { Audited } from "../contract/Middleware.ts"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import { RequestContext } from "../identity/RequestContext.ts"
import { Audit, type AuditOutcome } from "../observability/Audit.ts"
import { problemOf } from "./Completion.ts"
import { sentConditions } from "./SentConditions.ts"

/** The outcome of a write in the audit log, by its exit. `interrupted`: the outcome of an interrupted write. */
export const outcomeOf = (
  exit: Exit.Exit<unknown, unknown>,
  interrupted: { readonly outcome: AuditOutcome; readonly code: string }
): { readonly outcome: AuditOutcome; readonly code: string | undefined } => {
  if (Exit.isSuccess(exit)) return { outcome: "accepted", code: undefined }
  if (Cause.hasInterruptsOnly(exit.cause)) return interrupted
  const { code } = problemOf(exit.cause)
  switch (code) {
    case "RequestTimeout":
    case "ClusterUnavailable":
    case "Internal":
      return { outcome: "failed", code }
    default:
      return { outcome: "refused", code }
  }
}

const abandoned = { outcome: "failed", code: "Abandoned" } as const

const countBefore = (view: View.ClusterView, namespace: string, deployment: string): number | undefined =>
  Schema.is(NamespaceName)(namespace) && Schema.is(DeploymentName)(deployment)
    ? ViewReads.getDeployment(view, { namespace, name: deployment })?.replicas
    : undefined

/** Records each request to set a replica count, including refused ones. */
export const layer = Layer.effect(
  Audited,
  Effect.gen(function* () {
    const audit = yield* Audit
    const cache = yield* ClusterCache
    return (handled, { endpoint }) =>
      endpoint.identifier === Resources.endpoints.setReplicaCount.identifier
        ? Effect.gen(function* () {
            const { id, identity, receivedAt, remoteAddress, target } = yield* RequestContext
            const { headers } = yield* HttpServerRequest.HttpServerRequest
            const { params } = yield* HttpRouter.RouteContext
            const { deployment = "", namespace = "", replica_count: to = "" } = params
            const from = countBefore(cache.current(), namespace, deployment)
            return yield* Effect.onExit(handled, (exit) =>
              audit.record({
                requestId: id,
                identity,
                remoteAddress,
                namespace,
                deployment,
                to,
                from,
                ...sentConditions(headers["if-match"], target),
                ...outcomeOf(exit, abandoned),
                late: false,
                receivedAt
              })
            )
          })
        : handled
  })
)
