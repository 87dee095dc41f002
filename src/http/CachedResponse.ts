import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import type { ClusterCache } from "../cache/ClusterCache.ts"
import { NotFound, NotReady } from "../contract/Problems.ts"
import type { CachedRead } from "./CachedRead.ts"
import { respond } from "./ErrorResponse.ts"
import { RequestContext } from "../identity/RequestContext.ts"

/** What is said before the first full sync. */
export const notReady = new NotReady({ detail: "The first full sync with the cluster is not done yet." })

/**
 * Answers a read from the cache: 503 before the first full sync, 410 where what is asked for is not there. Nothing here
 * can reach the cluster.
 */
export const cached = (cache: ClusterCache["Service"], { find, missing }: CachedRead) =>
  Effect.clockWith((clock) =>
    Effect.map(RequestContext, ({ id }) => {
      if (!cache.isSynced()) return respond(notReady, id)
      const body = find(cache.current())
      if (body === undefined) return respond(new NotFound({ detail: missing() }), id)
      const options = {
        contentType: "application/json",
        headers: { age: String(cache.age(clock.currentTimeMillisUnsafe())) }
      }
      return typeof body === "string"
        ? HttpServerResponse.text(body, options)
        : HttpServerResponse.uint8Array(body, options)
    })
  )
