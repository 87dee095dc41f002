import { Effect } from "effect"
import type { Access, Authorization } from "../authorization/Authorization.ts"
import { type ClusterUnavailable, type Unauthorized, Unidentified } from "../contract/Problems.ts"
import { RequestContext } from "../identity/RequestContext.ts"

const unidentified = new Unidentified({ detail: "This needs a valid client certificate." })

/** Fails unless the caller is permitted the access. */
export const require = (
  authorization: Authorization["Service"],
  access: Access
): Effect.Effect<void, Unidentified | Unauthorized | ClusterUnavailable> =>
  Effect.gen(function* () {
    const { identity } = yield* RequestContext
    yield* identity === undefined ? unidentified : authorization.check(identity, access)
  })
