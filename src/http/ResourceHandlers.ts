import { Duration, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { ClusterCache } from "../cache/ClusterCache.ts"
import { Authorization } from "../authorization/Authorization.ts"
import { Api } from "../contract/Api.ts"
import * as CachedRead from "./CachedRead.ts"
import { cached } from "./CachedResponse.ts"
import { permitted } from "./Permitted.ts"
import * as ReplicaCountWrite from "./ReplicaCountWrite.ts"

/** Endpoints 1-4 over the cache and the scaler. A write that takes longer than `serveTimeout` is answered with 408. */
export const resourceHandlers = (serveTimeout: Duration.Duration) =>
  HttpApiBuilder.group(
    Api,
    "resources",
    Effect.fnUntraced(function* (handlers) {
      const authorization = yield* Authorization
      const cache = yield* ClusterCache
      const write = yield* ReplicaCountWrite.make(serveTimeout)

      const answered = (read: CachedRead.CachedRead) => permitted(authorization, read.access, cached(cache, read))

      return handlers.handleAll({
        listNamespaces: () => answered(CachedRead.namespaces),
        listDeployments: ({ params: { namespace } }) => answered(CachedRead.deployments(namespace)),
        getReplicaCount: ({ params: { namespace, deployment } }) =>
          answered(CachedRead.replicaCounts(namespace, deployment)),
        setReplicaCount: ({ params: { namespace, deployment, replica_count: replicas } }) =>
          permitted(
            authorization,
            { verb: "set", resource: "replica_count", namespace, deployment, replicas },
            write({ namespace, name: deployment }, replicas)
          )
      })
    })
  )
