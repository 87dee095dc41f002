import { Effect } from "effect"
import { type Access, type Authorization, describe, type SetAccess } from "../authorization/Authorization.ts"
import type { Precondition } from "../contract/Preconditions.ts"
import { type ClusterUnavailable, PreconditionRequired, type Unauthorized, Unidentified } from "../contract/Problems.ts"
import type { Identity } from "../identity/Identity.ts"
import { RequestContext } from "../identity/RequestContext.ts"

const unidentified = new Unidentified({ detail: "This needs a valid client certificate." })

/** Returns the caller, or fails unless it is permitted the access. */
export const require = (
  authorization: Authorization["Service"],
  access: Access
): Effect.Effect<Identity, Unidentified | Unauthorized | ClusterUnavailable> =>
  Effect.gen(function* () {
    const { identity } = yield* RequestContext
    if (identity === undefined) return yield* unidentified
    yield* authorization.check(identity, access)
    return identity
  })

/** Like `require`, but fails with `PreconditionRequired` if the write is permitted only with a precondition. */
export const requireSet = (
  authorization: Authorization["Service"],
  access: SetAccess,
  precondition: Precondition | undefined
): Effect.Effect<Identity, Unidentified | Unauthorized | ClusterUnavailable | PreconditionRequired> =>
  Effect.tap(require(authorization, access), (identity) =>
    (precondition === undefined || precondition === "*") && authorization.requiresIfMatch(identity, access)
      ? Effect.fail(
          new PreconditionRequired({
            detail: `${identity.user} may ${describe(access)} only with If-Match and the count that it replaces.`
          })
        )
      : Effect.void
  )
