import { Context, Effect, Layer } from "effect"
import { HttpServerRequest } from "effect/http"
import { HttpApiError } from "effect/http-api"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Identified } from "../contract/Middleware.ts"
import { BadRequest, Unidentified } from "../contract/Problems.ts"
import { RequestContext } from "../identity/RequestContext.ts"
import { clientAddress } from "../identity/ClientAddress.ts"
import { RateLimit } from "../limits/RateLimit.ts"
import { malformation, type RequestLimits } from "./RequestForm.ts"

const unidentified = new Unidentified({
  detail: "This endpoint needs a valid client certificate from the company's CA."
})

const longestDetail = 300

/** Names the invalid parameter and its expected form, in at most 300 characters. Only a PUT has a query. */
const badParameter = (error: HttpApiError.HttpApiSchemaError): BadRequest => {
  if (error.kind === "Query")
    return new BadRequest({ detail: "The query of a PUT may be dryRun=All and nothing else." })
  const text = error.cause.message.replaceAll(/\s+/g, " ")
  return new BadRequest({ detail: text.length > longestDetail ? `${text.slice(0, longestDetail - 1)}…` : text })
}

/**
 * Checks, in this order: the client's identity, its rate limit, the request's form, the path parameters. An
 * unidentified client beyond its rate limit receives `TooManyRequests` instead of `Unidentified`.
 */
export const layer = (requestLimits: RequestLimits) =>
  Layer.effect(
    Identified,
    Effect.map(RateLimit, (rates) => (handled, { endpoint }) => {
      const budget = endpoint.method === "PUT" ? "writes" : "reads"
      const checked = Effect.catch(handled, (error) =>
        Effect.fail(HttpApiError.HttpApiSchemaError.is(error) ? badParameter(error) : error)
      )
      return Effect.contextWith((services: Context.Context<HttpServerRequest.HttpServerRequest>) => {
        const { identity, receivedAt, remoteAddress } = Context.get(services, RequestContext)
        const incoming = NodeHttpServerRequest.toIncomingMessage(
          Context.get(services, HttpServerRequest.HttpServerRequest)
        )
        const problem =
          identity === undefined
            ? (rates.take("unidentified", clientAddress(remoteAddress), receivedAt) ?? unidentified)
            : (rates.take(budget, identity.user, receivedAt) ?? malformation(incoming, requestLimits))
        return Effect.andThen(problem === undefined ? Effect.void : Effect.fail(problem), checked)
      })
    })
  )
