import { Effect, Layer } from "effect"
import { HttpApiMiddleware } from "effect/http-api"
import { BadRequest, Unidentified } from "../domain/Errors.ts"
import { describeSchemaError } from "./BadParameter.ts"
import { BadRequestProblem, respond, UnidentifiedProblem } from "./ErrorMapping.ts"
import { RequestContext } from "./RequestContext.ts"
import { HttpApiError } from "effect/http-api"

/**
 * The endpoint is for identified callers only, and its path parameters are checked: whoever showed no valid certificate
 * is refused before the parameters are looked at.
 */
export class Identified extends HttpApiMiddleware.Service<Identified>()("kube-resource-api/api/Identified", {
  error: [UnidentifiedProblem, BadRequestProblem]
}) {
  static readonly layer = Layer.succeed(Identified, (handled) =>
    Effect.flatMap(RequestContext, ({ id, identity, malformed }) =>
      identity === undefined
        ? Effect.succeed(
            respond(
              new Unidentified({ detail: "This endpoint needs a valid client certificate from the company's CA." }),
              id
            )
          )
        : malformed !== undefined
          ? Effect.succeed(respond(malformed, id))
          : Effect.catch(handled, (error) =>
              HttpApiError.HttpApiSchemaError.is(error)
                ? Effect.succeed(respond(new BadRequest({ detail: describeSchemaError(error) }), id))
                : Effect.fail(error)
            )
    )
  )
}
