import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { fileName, followPolicy } from "./PolicyFollower.ts"
import { getMetrics, identity } from "./Given.ts"

const ann = identity("ann")
const bob = identity("bob")

const metricsFor = (...users: ReadonlyArray<string>) =>
  `rules:\n${users.map((user) => `  - subjects: { users: [${user}] }\n    metrics: true\n`).join("")}`

describe("PolicyAuthorization", () => {
  it.effect("applies a changed file, also to identities that were checked before", () =>
    Effect.gen(function* () {
      const policy = yield* followPolicy(metricsFor("ann"))
      assert.isTrue(yield* policy.allows(ann, getMetrics))
      assert.isFalse(yield* policy.allows(bob, getMetrics))
      yield* policy.write(metricsFor("bob", "carl"))
      assert.isFalse(yield* policy.allows(ann, getMetrics))
      assert.isTrue(yield* policy.allows(bob, getMetrics))
      yield* policy.write("rules: []")
      assert.isFalse(yield* policy.allows(bob, getMetrics))
    })
  )

  it.effect("keeps its rules if the new file is invalid or missing, logs all problems, and counts", () =>
    Effect.gen(function* () {
      const policy = yield* followPolicy(metricsFor("ann"))
      const before = yield* policy.measured
      assert.strictEqual(before("policy_reloads_total", "accepted"), 0)
      assert.strictEqual(before("policy_reloads_total", "refused"), 0)
      assert.strictEqual(before("policy_rules"), 1)

      yield* policy.write("rules:\n  - subjects: { users: [ann, bob] }\n    metric: true\n    verbs: [all]\n")
      assert.isTrue(yield* policy.allows(ann, getMetrics))
      assert.isFalse(yield* policy.allows(bob, getMetrics))
      const refusal = policy.logged.at(-1)
      assert.strictEqual(refusal?.level, "Error")
      assert.include(refusal?.message, "refused")
      assert.deepStrictEqual(refusal?.annotations, {
        file: fileName,
        problems: [
          "policy.yaml:3:5 rules[0].metric: unknown key; did you mean metrics?",
          'policy.yaml:4:13 rules[0].verbs[0]: "all" is not one of list, get, set'
        ],
        more: 0
      })

      yield* policy.write(undefined)
      assert.isTrue(yield* policy.allows(ann, getMetrics))
      assert.deepInclude(policy.logged.at(-1)?.annotations, { problems: ["there is no such file"] })

      yield* policy.write(metricsFor("bob", "carl"))
      assert.isFalse(yield* policy.allows(ann, getMetrics))
      assert.isTrue(yield* policy.allows(bob, getMetrics))
      assert.strictEqual(policy.logged.at(-1)?.level, "Info")

      const after = yield* policy.measured
      assert.strictEqual(after("policy_reloads_total", "accepted"), 1)
      assert.strictEqual(after("policy_reloads_total", "refused"), 2)
      assert.strictEqual(after("policy_rules"), 2)
    })
  )

  it.effect("fails at the start with the setting, the file and the first problems", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(followPolicy(undefined))
      assert.strictEqual(missing.setting, "POLICY_FILE")
      assert.include(missing.message, `POLICY_FILE=${fileName}: there is no such file. `)
      const bad = yield* Effect.flip(followPolicy(`rules:\n${"  - {}\n".repeat(30)}`))
      assert.include(
        bad.message,
        `POLICY_FILE=${fileName}: policy.yaml:2:5 rules[0].subjects: is missing; ` +
          "policy.yaml:3:5 rules[1].subjects: is missing; policy.yaml:4:5 rules[2].subjects: is missing; and 27 more. "
      )
    })
  )
})
