import { Clock, Duration, Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { ClusterCache } from "../cache/ClusterCache.ts"
import { NotReady } from "../contract/Problems.ts"
import { Api } from "../contract/Api.ts"
import { respond } from "./ErrorResponse.ts"
import { Lifecycle } from "./Lifecycle.ts"
import { RequestContext } from "../identity/RequestContext.ts"

const fine = HttpServerResponse.text("{}", { contentType: "application/json" })

/**
 * `/livez` and `/readyz`. Ready from the first full sync until shutdown begins, an outage of the cluster included, unless
 * `maxStaleness` is given and what the cache holds is older.
 */
export const probeHandlers = (maxStaleness: Duration.Duration | undefined) =>
  HttpApiBuilder.group(
    Api,
    "probes",
    Effect.fnUntraced(function* (handlers) {
      const cache = yield* ClusterCache
      const lifecycle = yield* Lifecycle
      const unreadiness = (now: number): string | undefined => {
        if (lifecycle.isShuttingDown()) return "The instance is shutting down."
        if (!cache.isSynced()) return "The first full sync with the cluster is not done yet."
        if (maxStaleness !== undefined && cache.age(now) >= Math.max(1, Math.ceil(Duration.toSeconds(maxStaleness)))) {
          return "The cluster has not been heard from for longer than READY_MAX_STALENESS."
        }
        return undefined
      }
      return handlers.handleAll({
        livez: () => Effect.succeed(fine),
        readyz: () =>
          Effect.gen(function* () {
            const { id } = yield* RequestContext
            const detail = unreadiness(yield* Clock.currentTimeMillis)
            return detail === undefined ? fine : respond(new NotReady({ detail }), id)
          })
      })
    })
  )
