import { Duration, Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { ClusterCache } from "../cache/ClusterCache.ts"
import * as View from "../cache/ClusterView.ts"
import { DeploymentScaler } from "../domain/DeploymentScaler.ts"
import { NotReady, RequestTimeout } from "../domain/Errors.ts"
import { Api } from "./Api.ts"
import { cached } from "./CachedResponse.ts"
import { respond } from "./ErrorMapping.ts"
import { RequestContext } from "./RequestContext.ts"

const accepted = HttpServerResponse.text("{}", { contentType: "application/json" })

const notReady = new NotReady({ detail: "The first full sync with the cluster is not done yet." })

/** Endpoints 1-4 over the cache and the scaler. A write that takes longer than `serveTimeout` is answered with 408. */
export const resourceHandlers = (serveTimeout: Duration.Duration) =>
  HttpApiBuilder.group(
    Api,
    "resources",
    Effect.fnUntraced(function* (handlers) {
      const cache = yield* ClusterCache
      const scaler = yield* DeploymentScaler
      return handlers.handleAll({
        listNamespaces: () => cached(cache, View.namespacesBody, () => "The cluster has no namespaces."),
        listDeployments: ({ params: { namespace } }) =>
          cached(
            cache,
            (view) => (namespace === "ANY" ? View.allDeploymentsBody(view) : View.deploymentsBody(view, namespace)),
            () => `There is no namespace ${namespace}.`
          ),
        getReplicaCount: ({ params: { namespace, deployment } }) =>
          cached(
            cache,
            (view) => {
              if (namespace === "ANY") {
                return deployment === "ANY"
                  ? View.allReplicaCountsBody(view)
                  : View.replicaCountEverywhereBody(view, deployment)
              }
              return deployment === "ANY"
                ? View.replicaCountsBody(view, namespace)
                : View.replicaCountBody(view, namespace, deployment)
            },
            () =>
              namespace === "ANY"
                ? `There is no deployment ${deployment} in any namespace.`
                : deployment === "ANY"
                  ? `There is no namespace ${namespace}.`
                  : `There is no deployment ${deployment} in namespace ${namespace}.`
          ),
        setReplicaCount: ({ params: { namespace, deployment, replica_count } }) =>
          Effect.flatMap(RequestContext, ({ id }) => {
            if (!cache.isSynced()) return Effect.succeed(respond(notReady, id))
            return scaler.scale({ namespace, name: deployment }, replica_count).pipe(
              Effect.flatMap(cache.written),
              Effect.as(accepted),
              Effect.timeoutOrElse({
                duration: serveTimeout,
                orElse: () =>
                  Effect.fail(
                    new RequestTimeout({
                      detail: "The cluster took too long to answer; the count may or may not have been set."
                    })
                  )
              }),
              Effect.catch((error) => Effect.succeed(respond(error, id)))
            )
          })
      })
    })
  )
