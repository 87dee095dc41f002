import { Effect } from "effect"
import type { Access, Authorization } from "../authorization/Authorization.ts"
import { type ClusterUnavailable, type Unauthorized, Unidentified } from "../contract/Problems.ts"
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
