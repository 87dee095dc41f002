import { Duration, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { ClusterCache } from "../cache/ClusterCache.ts"
import * as View from "../cache/ClusterView.ts"
import type { Any, DeploymentName, NamespaceName } from "../domain/Names.ts"
import { Authorization } from "../security/Authorization.ts"
import { Api } from "./Api.ts"
import { cached } from "./CachedResponse.ts"
import { permitted } from "./Permitted.ts"
import * as ReplicaCountWrite from "./ReplicaCountWrite.ts"

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
      const write = yield* ReplicaCountWrite.make(serveTimeout)

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
