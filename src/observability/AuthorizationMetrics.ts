import { Effect, Exit, Metric } from "effect"
import { Unauthorized } from "../contract/Problems.ts"
import type { Access, Authorization } from "../authorization/Authorization.ts"
import * as HeldMetric from "./HeldMetric.ts"
import { memoized } from "./Memoized.ts"

type Decision = "allowed" | "denied" | "unavailable"

const decisions = memoized((resource: Access["resource"]) =>
  memoized((verb: Access["verb"]) =>
    memoized((decision: Decision) =>
      Metric.counter("authorization_decisions_total", {
        description: "Decisions whether a caller may do what it asks; unavailable: the cluster could not be asked.",
        incremental: true,
        attributes: { resource, verb, decision }
      })
    )
  )
)

/** The authorizer, counting its decisions. */
export const counted = (authorization: Authorization["Service"]): Effect.Effect<Authorization["Service"]> =>
  Effect.map(Effect.context<never>(), (context) => {
    const count = ({ resource, verb }: Access, exit: Exit.Exit<unknown, unknown>): void => {
      const decision = Exit.isSuccess(exit)
        ? "allowed"
        : exit.cause.reasons.some((reason) => reason._tag === "Fail" && reason.error instanceof Unauthorized)
          ? "denied"
          : "unavailable"
      decisions(resource)(verb)(decision).updateUnsafe(1, context)
    }
    const countAllowed = memoized((resource: Access["resource"]) =>
      memoized((verb: Access["verb"]) => HeldMetric.updater(decisions(resource)(verb)("allowed"), context))
    )
    return {
      alreadyAllows: (identity, access, nowMillis) => {
        const allowed = authorization.alreadyAllows(identity, access, nowMillis)
        if (allowed) countAllowed(access.resource)(access.verb)(1)
        return allowed
      },
      check: (identity, access) => {
        const decided = authorization.check(identity, access)
        // A policy decides at once, on the way of each read: nothing needs to be run to count that.
        if (Exit.isExit(decided)) {
          count(access, decided)
          return decided
        }
        return Effect.onExit(decided, (exit) => Effect.sync(() => count(access, exit)))
      }
    }
  })
