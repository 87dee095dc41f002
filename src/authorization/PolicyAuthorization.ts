import { Effect, type FileSystem, Layer, Metric, type Path } from "effect"
import { applyLater, type FileReloadOptions, reloading } from "../settings/FileReload.ts"
import type { SettingError } from "../settings/SettingError.ts"
import { settings } from "../settings/Settings.ts"
import { cannotStart } from "../settings/YamlFile.ts"
import { Authorization, refused } from "./Authorization.ts"
import type { Policy } from "./Policy.ts"
import { decider } from "./PolicyDecision.ts"
import { loadPolicy } from "./PolicyFile.ts"

/** Changes of the policy file, by outcome. */
export const policyReloads = Metric.counter("policy_reloads_total", {
  description: "Changes of the policy file, by outcome: accepted, or refused while the previous policy stays in force.",
  incremental: true
})

/** Rules of the policy in force. */
export const policyRules = Metric.gauge("policy_rules", { description: "Rules of the policy in force." })

/**
 * Authorizes by a policy file, and denies by default. The file is loaded again when it changes. A change that cannot be
 * used is logged and counted, and the previous policy stays in force. Fails with a `SettingError` if the file cannot be
 * used at the start.
 */
export const layer = (
  file: string,
  options: FileReloadOptions = {}
): Layer.Layer<Authorization, SettingError, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(
    Authorization,
    Effect.gen(function* () {
      const reloaded = yield* Effect.mapError(
        reloading([file], loadPolicy(file), options),
        cannotStart(settings.policyFile, file, "docs/authorization.md describes the format.")
      )
      let decide = decider(reloaded.first)
      const inForce = (policy: Policy, message: string) =>
        Metric.update(policyRules, policy.rules.length).pipe(
          Effect.andThen(Effect.logInfo(message)),
          Effect.annotateLogs({ file, rules: policy.rules.length })
        )
      yield* inForce(reloaded.first, "The policy is in force")
      yield* applyLater(reloaded, policyReloads, {
        accepted: (policy) =>
          Effect.suspend(() => {
            decide = decider(policy)
            return inForce(policy, "The new policy is in force")
          }),
        refused: ({ more, problems }) =>
          Effect.logError("The new policy file is refused; the previous policy stays in force").pipe(
            Effect.annotateLogs({ file, problems, more })
          )
      })
      return Authorization.of({
        alreadyAllows: (identity, access) => decide(identity, access),
        requiresIfMatch: (identity, access) => !decide(identity, access, false),
        check: (identity, access) => (decide(identity, access) ? Effect.void : Effect.fail(refused(identity, access)))
      })
    })
  )
