import { type Duration, Effect } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Authorization } from "../authorization/Authorization.ts"
import { ClusterCache } from "../cache/ClusterCache.ts"
import { Api } from "../contract/Api.ts"
import { alreadySetField } from "../contract/Preconditions.ts"
import { NotFound, NotReady } from "../contract/Problems.ts"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Audit } from "../observability/Audit.ts"
import { ResponseBytes } from "../limits/ResponseBytes.ts"
import * as CachedRead from "./CachedRead.ts"
import * as Permission from "./Permission.ts"
import * as ReplicaCountWrite from "./ReplicaCountWrite.ts"

/** The error before the first full sync. */
export const notSynced = new NotReady({ detail: "The first full sync with the cluster is not done yet." })

/** The handlers of the cluster's resources. A write that takes longer than `serveTimeout` fails with `RequestTimeout`. */
export const layer = (serveTimeout: Duration.Duration) =>
  HttpApiBuilder.group(
    Api,
    "resources",
    Effect.fnUntraced(function* (handlers) {
      const audit = yield* Audit
      const authorization = yield* Authorization
      const cache = yield* ClusterCache
      const responseBytes = yield* ResponseBytes
      const write = yield* ReplicaCountWrite.make(serveTimeout)

      const answer = Effect.fnUntraced(function* ({ access, find, missing }: CachedRead.CachedRead) {
        const { user } = yield* Permission.require(authorization, access)
        if (!cache.isSynced()) return yield* notSynced
        const body = find(cache.current())
        if (body === undefined) return yield* new NotFound({ detail: missing() })
        const options = { contentType: "application/json", headers: { age: String(cache.age()) } }
        if (typeof body === "string") return HttpServerResponse.text(body, options)
        const response = NodeHttpServerRequest.toServerResponse(yield* HttpServerRequest.HttpServerRequest)
        if (!responseBytes.take(response, user, body.length)) return yield* responseBytes.refuse
        return HttpServerResponse.uint8Array(body, options)
      })

      return handlers.handleAll({
        listNamespaces: () => answer(CachedRead.listNamespaces),
        listDeployments: ({ params }) => answer(CachedRead.listDeployments(params)),
        listAllDeployments: () => answer(CachedRead.listAllDeployments),
        getReplicaCount: ({ params }) => answer(CachedRead.getReplicaCount(params)),
        listReplicaCounts: ({ params }) => answer(CachedRead.listReplicaCounts(params)),
        listAllReplicaCounts: () => answer(CachedRead.listAllReplicaCounts),
        findReplicaCounts: ({ params }) => answer(CachedRead.findReplicaCounts(params)),
        setReplicaCount: ({ headers, params: { deployment, namespace, replica_count: replicas }, query }) =>
          Effect.gen(function* () {
            const precondition = headers["if-match"]
            yield* Permission.requireSet(
              authorization,
              { verb: "set", resource: "replica_count", namespace, deployment, replicas },
              precondition
            )
            if (!cache.isSynced()) return yield* notSynced
            yield* audit.admit
            const alreadySet = yield* write({ namespace, name: deployment }, replicas, {
              precondition,
              dryRun: query.dryRun !== undefined
            })
            return alreadySet ? HttpServerResponse.jsonUnsafe({}, { headers: { [alreadySetField]: "true" } }) : {}
          })
      })
    })
  )
