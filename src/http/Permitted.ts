import { Effect } from "effect"
import type { HttpServerResponse } from "effect/http"
import { Unidentified } from "../contract/Problems.ts"
import type { Access, Authorization } from "../authorization/Authorization.ts"
import { respond } from "./ErrorResponse.ts"
import { RequestContext } from "../identity/RequestContext.ts"

const unidentified = new Unidentified({ detail: "This needs a valid client certificate." })

/** Answers with `answer` where the caller may do what `access` says, else with the refusal. */
export const permitted = <R>(
  authorization: Authorization["Service"],
  access: Access,
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, never, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> =>
  Effect.flatMap(RequestContext, ({ id, identity }) =>
    identity === undefined
      ? Effect.succeed(respond(unidentified, id))
      : Effect.matchEffect(authorization.check(identity, access), {
          onFailure: (error) => Effect.succeed(respond(error, id)),
          onSuccess: () => answer
        })
  )
