import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import type { ClusterCache } from "../cache/ClusterCache.ts"
import type { ClusterView } from "../cache/ClusterView.ts"
import { NotFound, NotReady } from "../domain/Errors.ts"
import { respond } from "./ErrorMapping.ts"
import { RequestContext } from "./RequestContext.ts"

const notReady = new NotReady({ detail: "The first full sync with the cluster is not done yet." })

/**
 * Answers a read from the cache with the body that `find` picks from the view, already rendered: 503 before the first
 * full sync, 410 with `missing()` where there is none. Nothing here can reach the cluster.
 */
export const cached = (
  cache: ClusterCache["Service"],
  find: (view: ClusterView) => string | Uint8Array | undefined,
  missing: () => string
) =>
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
