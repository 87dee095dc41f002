import { Effect, Layer, Option } from "effect"
import { HttpServerRequest } from "effect/http"
import { HttpApiError, HttpApiMiddleware } from "effect/http-api"
import { BadRequest, Unidentified } from "../contract/Problems.ts"
import { clientAddress } from "../limits/ClientAddress.ts"
import { RateLimit } from "../limits/RateLimit.ts"
import { describeSchemaError } from "./BadParameter.ts"
import { BadRequestProblem, respond, UnidentifiedProblem } from "./ErrorResponse.ts"
import { RequestContext } from "../identity/RequestContext.ts"

const unidentified = new Unidentified({
  detail: "This endpoint needs a valid client certificate from the company's CA."
})

/**
 * The endpoint is for identified callers only, each asks within its limit, and its path parameters are checked, in this
 * order. Whoever showed no valid certificate is refused, with 429 instead of 403 once its address has been refused too
 * often.
 */
export class Identified extends HttpApiMiddleware.Service<Identified>()("kube-resource-api/http/Identified", {
  error: [UnidentifiedProblem, BadRequestProblem]
}) {
  static readonly layer = Layer.effect(
    Identified,
    Effect.map(RateLimit, (limits) => {
      const refusal = (request: HttpServerRequest.HttpServerRequest, now: number) =>
        limits.take("unidentified", clientAddress(Option.getOrUndefined(request.remoteAddress)), now) ?? unidentified
      return (handled, { endpoint }) => {
        const budget = endpoint.method === "PUT" ? "writes" : "reads"
        const checked = Effect.catch(handled, (error) =>
          HttpApiError.HttpApiSchemaError.is(error)
            ? Effect.map(RequestContext, ({ id }) =>
                respond(new BadRequest({ detail: describeSchemaError(error) }), id)
              )
            : Effect.fail(error)
        )
        return Effect.flatMap(RequestContext, ({ id, identity, malformed, receivedAt }) => {
          if (identity === undefined) {
            return Effect.map(HttpServerRequest.HttpServerRequest, (request) =>
              respond(refusal(request, receivedAt), id)
            )
          }
          const refused = limits.take(budget, identity.user, receivedAt) ?? malformed
          return refused === undefined ? checked : Effect.succeed(respond(refused, id))
        })
      }
    })
  )
}
