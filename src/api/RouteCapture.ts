import { Effect } from "effect"
import { HttpRouter } from "effect/http"
import { RequestContext } from "./RequestContext.ts"

/** Notes in the `RequestContext` which endpoint the router found, and with which parameters. */
export const layer = HttpRouter.middleware(
  Effect.succeed((handled) =>
    Effect.flatMap(HttpRouter.RouteContext, ({ params, route }) =>
      Effect.flatMap(RequestContext, ({ matched }) => {
        matched.route = route.path
        matched.params = params
        return handled
      })
    )
  )
).layer
