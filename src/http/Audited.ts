import { Cause, Effect, Exit, Layer, Option, Schema } from "effect"
import { HttpRouter, HttpServerRequest, type HttpServerResponse } from "effect/http"
import { HttpApiMiddleware } from "effect/http-api"
import { ClusterCache } from "../cache/ClusterCache.ts"
import * as View from "../cache/ClusterView.ts"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import { Audit, type AuditOutcome } from "../observability/Audit.ts"
import { codeOf, errorOf, type ServiceError } from "./ErrorResponse.ts"
import { RequestContext } from "../identity/RequestContext.ts"

/** What a write's end means to an auditor. */
export const outcomeOf = (error: ServiceError | undefined): { outcome: AuditOutcome; code: string | undefined } => {
  if (error === undefined) return { outcome: "accepted", code: undefined }
  switch (error._tag) {
    case "RequestTimeout":
    case "ClusterUnavailable":
    case "Internal":
      return { outcome: "failed", code: codeOf(error) }
    default:
      return { outcome: "refused", code: codeOf(error) }
  }
}

const ended = (exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>) => {
  if (Exit.isSuccess(exit)) return outcomeOf(errorOf(exit.value))
  const code = Cause.hasInterruptsOnly(exit.cause) ? "Abandoned" : "Internal"
  return { outcome: "failed" as const, code }
}

const countBefore = (view: View.ClusterView, namespace: string, deployment: string): number | undefined =>
  Schema.is(NamespaceName)(namespace) && Schema.is(DeploymentName)(deployment)
    ? View.getDeployment(view, { namespace, name: deployment })?.replicas
    : undefined

/** Each request to set a replica count leaves a record, whatever it is answered and wherever it is refused. */
export class Audited extends HttpApiMiddleware.Service<Audited>()("kube-resource-api/http/Audited") {
  static readonly layer = Layer.effect(
    Audited,
    Effect.gen(function* () {
      const audit = yield* Audit
      const cache = yield* ClusterCache
      return (handled, { endpoint }) =>
        endpoint.identifier === "setReplicaCount"
          ? Effect.gen(function* () {
              const { id, identity, receivedAt } = yield* RequestContext
              const request = yield* HttpServerRequest.HttpServerRequest
              const { params } = yield* HttpRouter.RouteContext
              const { deployment = "", namespace = "", replica_count: to = "" } = params
              const from = countBefore(cache.current(), namespace, deployment)
              return yield* Effect.onExit(handled, (exit) =>
                audit.record({
                  requestId: id,
                  identity,
                  remoteAddress: Option.getOrUndefined(request.remoteAddress),
                  namespace,
                  deployment,
                  to,
                  from,
                  ...ended(exit),
                  late: false,
                  receivedAt
                })
              )
            })
          : handled
    })
  )
}
