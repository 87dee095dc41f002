import { Context, Effect } from "effect"
import { HttpRouter } from "effect/http"
import { RequestContext } from "../identity/RequestContext.ts"

/** Notes in the `RequestContext` which endpoint the router found, and with which parameters. */
export const layer = HttpRouter.middleware(
  Effect.succeed((handled) =>
    // One step, for it is on the way of every read.
    Effect.contextWith((context: Context.Context<HttpRouter.RouteContext>) => {
      const { params, route } = Context.get(context, HttpRouter.RouteContext)
      const { matched } = Context.get(context, RequestContext)
      matched.route = route.path
      matched.params = params
      return handled
    })
  )
).layer
