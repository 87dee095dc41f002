import { Effect, Exit, Metric } from "effect"
import { Unauthorized } from "../contract/Problems.ts"
import type { Access, Authorization } from "../authorization/Authorization.ts"
import * as Metrics from "./Metrics.ts"

type Decision = "allowed" | "denied" | "unavailable"

const decisions = Metrics.memoized((resource: Access["resource"]) =>
  Metrics.memoized((verb: Access["verb"]) =>
    Metrics.memoized((decision: Decision) =>
      Metric.counter("authorization_decisions_total", {
        description: "Authorization decisions. unavailable: the cluster did not answer the access review.",
        incremental: true,
        attributes: { resource, verb, decision }
      })
    )
  )
)

/** Counts the decisions of an authorizer. */
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
    const countAllowed = Metrics.memoized((resource: Access["resource"]) =>
      Metrics.memoized((verb: Access["verb"]) => Metrics.updater(decisions(resource)(verb)("allowed"), context))
    )
    return {
      requiresIfMatch: authorization.requiresIfMatch,
      alreadyAllows: (identity, access, nowMillis) => {
        const allowed = authorization.alreadyAllows(identity, access, nowMillis)
        if (allowed) countAllowed(access.resource)(access.verb)(1)
        return allowed
      },
      check: (identity, access) => {
        const decided = authorization.check(identity, access)
        // A policy decides synchronously, so that a read needs no fiber to count the decision.
        if (Exit.isExit(decided)) {
          count(access, decided)
          return decided
        }
        return Effect.onExit(decided, (exit) => Effect.sync(() => count(access, exit)))
      }
    }
  })
