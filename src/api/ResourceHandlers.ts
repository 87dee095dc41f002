import { Duration, Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { ClusterCache } from "../cache/ClusterCache.ts"
import * as View from "../cache/ClusterView.ts"
import { DeploymentScaler } from "../domain/DeploymentScaler.ts"
import { NotReady, RequestTimeout } from "../domain/Errors.ts"
import type { Any, DeploymentName, NamespaceName } from "../domain/Names.ts"
import type { DeploymentRef } from "../domain/ReadModel.ts"
import type { ReplicaCount } from "../domain/ReplicaCount.ts"
import { Authorization } from "../security/Authorization.ts"
import { Api } from "./Api.ts"
import { cached } from "./CachedResponse.ts"
import { respond } from "./ErrorMapping.ts"
import { permitted } from "./Permitted.ts"
import { RequestContext } from "./RequestContext.ts"

const accepted = HttpServerResponse.text("{}", { contentType: "application/json" })

const notReady = new NotReady({ detail: "The first full sync with the cluster is not done yet." })

const tooSlow = new RequestTimeout({
  detail: "The cluster took too long to answer; the count may or may not have been set."
})

const deploymentsIn = (namespace: NamespaceName | Any) => (view: View.ClusterView) =>
  namespace === "ANY" ? View.allDeploymentsBody(view) : View.deploymentsBody(view, namespace)

const replicaCounts =
  (namespace: NamespaceName | Any, deployment: DeploymentName | Any) => (view: View.ClusterView) => {
    if (namespace === "ANY") {
      return deployment === "ANY" ? View.allReplicaCountsBody(view) : View.replicaCountEverywhereBody(view, deployment)
    }
    return deployment === "ANY"
      ? View.replicaCountsBody(view, namespace)
      : View.replicaCountBody(view, namespace, deployment)
  }

const missing = (namespace: NamespaceName | Any, deployment: DeploymentName | Any): string =>
  deployment === "ANY"
    ? `There is no namespace ${namespace}.`
    : `There is no deployment ${deployment} in ${namespace === "ANY" ? "any namespace" : `namespace ${namespace}`}.`

/** Endpoints 1-4 over the cache and the scaler. A write that takes longer than `serveTimeout` is answered with 408. */
export const resourceHandlers = (serveTimeout: Duration.Duration) =>
  HttpApiBuilder.group(
    Api,
    "resources",
    Effect.fnUntraced(function* (handlers) {
      const authorization = yield* Authorization
      const cache = yield* ClusterCache
      const scaler = yield* DeploymentScaler

      const write = (ref: DeploymentRef, replicas: ReplicaCount) =>
        Effect.flatMap(RequestContext, ({ id }) => {
          if (!cache.isSynced()) return Effect.succeed(respond(notReady, id))
          return scaler.scale(ref, replicas).pipe(
            Effect.flatMap(cache.written),
            Effect.as(accepted),
            Effect.timeoutOrElse({ duration: serveTimeout, orElse: () => Effect.fail(tooSlow) }),
            Effect.catch((error) => Effect.succeed(respond(error, id)))
          )
        })

      return handlers.handleAll({
        listNamespaces: () =>
          permitted(
            authorization,
            { verb: "list", resource: "namespaces" },
            cached(cache, View.namespacesBody, () => "The cluster has no namespaces.")
          ),
        listDeployments: ({ params: { namespace } }) =>
          permitted(
            authorization,
            { verb: "list", resource: "deployments", namespace },
            cached(cache, deploymentsIn(namespace), () => missing(namespace, "ANY"))
          ),
        getReplicaCount: ({ params: { namespace, deployment } }) =>
          permitted(
            authorization,
            { verb: "get", resource: "replica_count", namespace, deployment },
            cached(cache, replicaCounts(namespace, deployment), () => missing(namespace, deployment))
          ),
        setReplicaCount: ({ params: { namespace, deployment, replica_count: replicas } }) =>
          permitted(
            authorization,
            { verb: "set", resource: "replica_count", namespace, deployment, replicas },
            write({ namespace, name: deployment }, replicas)
          )
      })
    })
  )
