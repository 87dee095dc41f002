import { Effect, type FileSystem, Layer, Metric, type Path, Result, Stream } from "effect"
import { SettingError } from "../settings/SettingError.ts"
import { Authorization, refused } from "./Authorization.ts"
import { type FileReloadOptions, reloading } from "../settings/FileReload.ts"
import type { Policy } from "./Policy.ts"
import { decider } from "./PolicyDecision.ts"
import { loadPolicy, type PolicyError } from "./PolicyFile.ts"

/** Policy files read again after a change, by outcome: accepted or refused. */
export const policyReloads = Metric.counter("policy_reloads_total", {
  description: "Policy files read again after a change, by outcome: accepted or refused.",
  incremental: true
})
const accepted = Metric.withAttributes(policyReloads, { outcome: "accepted" })
const refusals = Metric.withAttributes(policyReloads, { outcome: "refused" })
/** Rules of the policy in force. */
export const policyRules = Metric.gauge("policy_rules", { description: "Rules of the policy in force." })

/** How many problems a line for a person holds; the log of a reload holds more. */
const told = 3

const cannotStart = (file: string) => (error: PolicyError) => {
  const more = error.problems.length - told + error.more
  return new SettingError({
    setting: "POLICY_FILE",
    value: file,
    problem: error.problems.slice(0, told).join("; ") + (more > 0 ? `; and ${more} more` : ""),
    fix: "docs/authorization.md tells what a policy is written like."
  })
}

/**
 * A policy file decides, default deny. It is loaded again when it changes; a new file that cannot be used is refused,
 * logged and counted, and the rules before it stay. Fails with a `SettingError` where the first cannot be used.
 */
export const layer = (
  file: string,
  options: FileReloadOptions = {}
): Layer.Layer<Authorization, SettingError, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(
    Authorization,
    Effect.gen(function* () {
      const { first, later } = yield* Effect.mapError(reloading([file], loadPolicy(file), options), cannotStart(file))
      let decide = decider(first)
      const inForce = (policy: Policy) =>
        Effect.sync(() => {
          decide = decider(policy)
        }).pipe(Effect.andThen(Metric.update(policyRules, policy.rules.length)))

      yield* Metric.update(policyRules, first.rules.length)
      // So that a series is there before there is anything to count.
      yield* Metric.update(accepted, 0)
      yield* Metric.update(refusals, 0)
      yield* Effect.logInfo("The policy is in force").pipe(Effect.annotateLogs({ file, rules: first.rules.length }))
      yield* Effect.forkScoped(
        Stream.runForEach(
          later,
          Result.match({
            onSuccess: (policy) =>
              inForce(policy).pipe(
                Effect.andThen(Metric.update(accepted, 1)),
                Effect.andThen(Effect.logInfo("The new policy is in force")),
                Effect.annotateLogs({ file, rules: policy.rules.length })
              ),
            onFailure: ({ more, problems }) =>
              Metric.update(refusals, 1).pipe(
                Effect.andThen(Effect.logError("The new policy file is refused; the rules before it stay in force")),
                Effect.annotateLogs({ file, problems, more })
              )
          })
        )
      )
      return Authorization.of({
        alreadyAllows: (identity, access) => decide(identity, access),
        check: (identity, access) => (decide(identity, access) ? Effect.void : Effect.fail(refused(identity, access)))
      })
    })
  )
