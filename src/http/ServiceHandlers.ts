/** The handlers of probes, metrics and the OpenAPI document. */
import { Duration, Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder, type OpenApi } from "effect/http-api"
import { PrometheusMetrics } from "effect/observability"
import { Authorization } from "../authorization/Authorization.ts"
import { ClusterCache } from "../cache/ClusterCache.ts"
import { Api, metricsContentType } from "../contract/Api.ts"
import { NotReady } from "../contract/Problems.ts"
import { Lifecycle } from "./Lifecycle.ts"
import * as Permission from "./Permission.ts"
import { notSynced } from "./ResourceHandlers.ts"

const shuttingDown = new NotReady({ detail: "The instance is shutting down." })

const stale = new NotReady({
  detail: "The cluster has not been heard from for longer than READY_MAX_STALENESS."
})

/**
 * Liveness and readiness. The instance is ready from the first full sync until shutdown begins. It stays ready during
 * an outage of the cluster, unless the cache becomes older than `maxStaleness`.
 */
export const probes = (maxStaleness: Duration.Duration | undefined) =>
  HttpApiBuilder.group(
    Api,
    "probes",
    Effect.fnUntraced(function* (handlers) {
      const cache = yield* ClusterCache
      const lifecycle = yield* Lifecycle
      const isStale = () =>
        maxStaleness !== undefined && cache.age() >= Math.max(1, Math.ceil(Duration.toSeconds(maxStaleness)))
      return handlers.handleAll({
        livez: () => Effect.succeed({}),
        readyz: () =>
          Effect.gen(function* () {
            if (lifecycle.isShuttingDown()) return yield* shuttingDown
            if (!cache.isSynced()) return yield* notSynced
            return isStale() ? yield* stale : {}
          })
      })
    })
  )

/** Every metric of the registry as a response in Prometheus' text format. */
export const metricsPage = Effect.map(PrometheusMetrics.format(), (page) =>
  HttpServerResponse.text(page, { contentType: metricsContentType })
)

/** Rendering takes some 2 ms, as long as 60 reads. A client pays only one read for it, so callers share one page. */
const pageKept = Duration.seconds(1)

/** The metrics, for callers that may `get metrics`. They are at most a second old. */
export const metrics = HttpApiBuilder.group(
  Api,
  "metrics",
  Effect.fnUntraced(function* (handlers) {
    const authorization = yield* Authorization
    const page = yield* Effect.cachedWithTTL(metricsPage, pageKept)
    return handlers.handleAll({
      metrics: () => Effect.andThen(Permission.require(authorization, { verb: "get", resource: "metrics" }), page)
    })
  })
)

/** The OpenAPI document, rendered once. */
export const description = (document: OpenApi.OpenAPISpec) =>
  HttpApiBuilder.group(Api, "description", (handlers) => {
    const response = HttpServerResponse.jsonUnsafe(document)
    return handlers.handleAll({ openapi: () => Effect.succeed(response) })
  })
