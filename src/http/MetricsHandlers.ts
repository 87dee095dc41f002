import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { PrometheusMetrics } from "effect/observability"
import { Authorization } from "../authorization/Authorization.ts"
import { Api, metricsContentType } from "../contract/Api.ts"
import { permitted } from "./Permitted.ts"

/** Every metric of the registry as a response in Prometheus' text format. */
export const metricsPage = Effect.map(PrometheusMetrics.format(), (page) =>
  HttpServerResponse.text(page, { contentType: metricsContentType })
)

/** `/metrics`, for callers that may `get metrics`. */
export const metricsHandlers = HttpApiBuilder.group(
  Api,
  "metrics",
  Effect.fnUntraced(function* (handlers) {
    const authorization = yield* Authorization
    return handlers.handleAll({
      metrics: () => permitted(authorization, { verb: "get", resource: "metrics" }, metricsPage)
    })
  })
)
