/** Property: no sequence of policy files and requests allows what the last valid policy denies. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { Access } from "../../src/authorization/Authorization.ts"
import type { Identity } from "../../src/identity/Identity.ts"
import { stringify } from "yaml"
import { get, getMetrics, identity, listDeployments, listNamespaces, set } from "./Given.ts"
import { followPolicy } from "./PolicyFollower.ts"

const Subjects = Schema.Literals(["ann", "anna", "bob", "a*", "*", "ann*"])
const Groups = Schema.Literals(["dev", "devops", "dev*", "ops", "*"])
const Names = Schema.Literals(["a", "ab", "a*", "ab*", "b", "*"])
const some = <S extends Schema.Top>(item: S) => Schema.Array(item).check(Schema.isMinLength(1), Schema.isMaxLength(2))
const Counts = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 }))

const Rule = Schema.Struct({
  users: Schema.Array(Subjects).check(Schema.isMaxLength(2)),
  groups: some(Groups),
  verbs: Schema.Array(Schema.Literals(["list", "get", "set"])).check(Schema.isMaxLength(3)),
  namespaces: some(Names),
  deployments: some(Names),
  bounds: Schema.Union([Schema.Null, Schema.Struct({ from: Counts, to: Counts })]),
  requireIfMatch: Schema.Boolean
})
type Rule = typeof Rule.Type

const Rules = Schema.Array(Rule).check(Schema.isMaxLength(3))

const Users = Schema.Literals(["ann", "anna", "bob", "carl"])
const UserGroups = Schema.Array(Schema.Literals(["dev", "devops", "ops", "none"])).check(Schema.isMaxLength(2))
const Asked = Schema.Literals(["a", "ab", "abc", "b", "c"])
const AskedOrAny = Schema.Literals(["a", "ab", "abc", "b", "c", "ANY"])
const Request = Schema.Union([
  Schema.TaggedStruct("listNamespaces", {}),
  Schema.TaggedStruct("metrics", {}),
  Schema.TaggedStruct("listDeployments", { namespace: AskedOrAny }),
  Schema.TaggedStruct("get", { namespace: AskedOrAny, deployment: AskedOrAny }),
  Schema.TaggedStruct("set", { namespace: Asked, deployment: Asked, replicas: Counts })
])
type Request = typeof Request.Type

const Step = Schema.Union([
  Schema.TaggedStruct("good", { rules: Rules, json: Schema.Boolean }),
  Schema.TaggedStruct("bad", {
    rules: Rules,
    how: Schema.Literals(["cut", "verb", "key", "range", "pattern", "twice", "empty", "gone", "documents"])
  }),
  Schema.TaggedStruct("ask", { user: Users, groups: UserGroups, requests: Schema.Array(Request) })
])

/** The rule as in the file. A rule without verbs allows only the metrics. */
const written = ({ bounds, deployments, groups, namespaces, requireIfMatch, users, verbs }: Rule) => ({
  subjects: { ...(users.length === 0 ? {} : { users }), groups },
  ...(verbs.length === 0
    ? { metrics: true }
    : {
        verbs,
        namespaces,
        deployments,
        ...(bounds === null || !verbs.includes("set")
          ? {}
          : { minReplicas: Math.min(bounds.from, bounds.to), maxReplicas: Math.max(bounds.from, bounds.to) }),
        ...(requireIfMatch && verbs.includes("set") ? { requireIfMatch } : {})
      })
})

const spoilt = (how: string, rules: ReadonlyArray<Rule>): string | undefined => {
  const everything = {
    subjects: { users: ["*"] },
    verbs: ["list", "get", "set"],
    namespaces: ["*"],
    deployments: ["*"]
  }
  // Each would allow everything to everybody if its problem were ignored.
  const spoiling = (rule: object) => JSON.stringify({ rules: [...rules.map(written), everything, rule] })
  switch (how) {
    case "cut":
      return JSON.stringify({ rules: [...rules.map(written), everything] }).slice(0, -1)
    case "verb":
      return spoiling({ ...everything, verbs: ["list", "delete"] })
    case "key":
      return spoiling({ ...everything, namespace: "a" })
    case "range":
      return spoiling({ ...everything, minReplicas: 3, maxReplicas: 2 })
    case "pattern":
      return spoiling({ ...everything, namespaces: ["*a"] })
    case "twice":
      return `{"rules": [], "rules": ${JSON.stringify([everything])}}`
    case "documents":
      return `${stringify({ rules: [everything] })}---\nrules: []\n`
    case "gone":
      return undefined
    default:
      return ""
  }
}

const fits = (pattern: string, name: string): boolean => new RegExp(`^${pattern.replace(/\*$/, ".*")}$`).test(name)

const covers = (patterns: ReadonlyArray<string>, name: string): boolean =>
  name === "ANY" ? patterns.includes("*") : patterns.some((pattern) => fits(pattern, name))

/** Whether a rule allows a request, according to docs/authorization.md. */
const allowedBy = (rule: Rule, { groups, user }: Identity, request: Request): boolean => {
  const isFor = covers(rule.users, user) || groups.some((group) => covers(rule.groups, group))
  if (!isFor) return false
  switch (request._tag) {
    case "metrics":
      return rule.verbs.length === 0
    case "listNamespaces":
      return rule.verbs.includes("list") && covers(rule.namespaces, "ANY")
    case "listDeployments":
      return (
        rule.verbs.includes("list") && covers(rule.namespaces, request.namespace) && covers(rule.deployments, "ANY")
      )
    case "get":
      return (
        rule.verbs.includes("get") &&
        covers(rule.namespaces, request.namespace) &&
        covers(rule.deployments, request.deployment)
      )
    case "set": {
      const { from, to } = rule.bounds ?? { from: 0, to: Infinity }
      return (
        rule.verbs.includes("set") &&
        covers(rule.namespaces, request.namespace) &&
        covers(rule.deployments, request.deployment) &&
        request.replicas >= Math.min(from, to) &&
        request.replicas <= Math.max(from, to)
      )
    }
  }
}

const accessOf = (request: Request): Access => {
  switch (request._tag) {
    case "metrics":
      return getMetrics
    case "listNamespaces":
      return listNamespaces
    case "listDeployments":
      return listDeployments(request.namespace)
    case "get":
      return get(request.namespace, request.deployment)
    case "set":
      return set(request.namespace, request.deployment, request.replicas)
  }
}

describe("a policy and a naive model", () => {
  let allowed = 0
  let denied = 0
  let refused = 0
  let conditional = 0

  it.effect.prop(
    "allow the same accesses by the last valid policy, for any sequence of files and requests",
    [Rules, Schema.Array(Step)],
    ([first, steps]) =>
      Effect.gen(function* () {
        // Connections outlive changes of the policy.
        const identities = new Map<string, Identity>()
        const text = (rules: ReadonlyArray<Rule>, json: boolean) => {
          const policy = { rules: rules.map(written) }
          return json ? JSON.stringify(policy) : stringify(policy)
        }
        let inForce = first
        let last: string | undefined = text(first, false)
        const policy = yield* followPolicy(last)
        for (const [at, step] of steps.entries()) {
          if (step._tag === "ask") {
            const key = JSON.stringify([step.user, step.groups])
            const who = identities.get(key) ?? identity(step.user, ...step.groups)
            identities.set(key, who)
            for (const request of step.requests) {
              const expected = inForce.some((rule) => allowedBy(rule, who, request))
              const actual = yield* policy.allows(who, accessOf(request))
              assert.strictEqual(actual, expected, JSON.stringify({ request, who: key, inForce }))
              if (expected) allowed++
              else denied++
              const access = accessOf(request)
              if (access.verb !== "set" || !expected) continue
              const required = inForce.every((rule) => rule.requireIfMatch || !allowedBy(rule, who, request))
              assert.strictEqual(policy.requiresIfMatch(who, access), required, JSON.stringify({ request, inForce }))
              if (required) conditional++
            }
            continue
          }
          const body = step._tag === "good" ? text(step.rules, step.json) : spoilt(step.how, step.rules)
          // The text must differ from the previous one, or there is no change.
          const next: string | undefined = body === undefined ? undefined : `${body}\n# ${at}\n`
          if (next === last) continue
          last = next
          yield* policy.write(next)
          if (step._tag === "good") inForce = step.rules
          else refused++
        }
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 300, size: 30 } }
  )

  it("cover enough allowed and denied accesses and refused files", () => {
    assert.isAbove(allowed, 200)
    assert.isAbove(denied, 200)
    assert.isAbove(refused, 200)
    assert.isAbove(conditional, 20)
  })
})
