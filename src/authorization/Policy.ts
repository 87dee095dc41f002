/** The schema of the policy file. Rules only allow; an access that no rule allows is denied. */
import { Schema } from "effect"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import { maxReplicaCount, ReplicaCount } from "../contract/Names.ts"

const message = (check: (text: string) => string | undefined) => Schema.makeFilter(check)

const quoted = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text)

const starProblem = (pattern: string): string | undefined =>
  pattern.slice(0, -1).includes("*") ? `${quoted(pattern)}: a * stands only at the end` : undefined

/** A pattern of Kubernetes names: a name, a prefix followed by `*`, or `*` for all. */
const namePattern = (kind: string, is: (text: string) => boolean) =>
  Schema.String.check(
    message((pattern) => {
      if (pattern === "ANY") return `"ANY" can be no ${kind}: write "*" for all`
      const misplaced = starProblem(pattern)
      if (misplaced !== undefined) return misplaced
      const front = pattern.endsWith("*") ? pattern.slice(0, -1) : undefined
      // A prefix that any text completes to a name is completed by "a".
      const possible = front === undefined ? is(pattern) : front === "" || is(front) || is(`${front}a`)
      return possible
        ? undefined
        : `${quoted(pattern)} can match no ${kind}: those have lower-case letters, digits and "-"${kind === "deployment" ? ' and "."' : ""}`
    })
  )

const subjectPattern = Schema.String.check(
  message((pattern) => (pattern === "" ? `"" can match nobody` : starProblem(pattern)))
)

const someOf = <S extends Schema.Top>(item: S) =>
  Schema.Array(item).check(
    Schema.makeFilter((items: ReadonlyArray<unknown>) => (items.length === 0 ? "the list is empty" : undefined))
  )

const isCount = Schema.is(ReplicaCount)

const count = Schema.Number.check(
  Schema.makeFilter((value: number) =>
    isCount(value) ? undefined : `${value} is not a whole number 0..${maxReplicaCount}`
  )
)

/** The verbs of a rule. */
export const verbs = ["list", "get", "set"] as const

const Subjects = Schema.Struct({
  users: Schema.optionalKey(someOf(subjectPattern)),
  groups: Schema.optionalKey(someOf(subjectPattern))
}).check(
  Schema.makeFilter(({ groups, users }) =>
    users === undefined && groups === undefined ? "nobody is named: name users or groups" : undefined
  )
)

const RuleFields = Schema.Struct({
  description: Schema.optionalKey(Schema.String),
  subjects: Subjects,
  verbs: Schema.optionalKey(someOf(Schema.Literals(verbs).annotate({ expected: `one of ${verbs.join(", ")}` }))),
  namespaces: Schema.optionalKey(someOf(namePattern("namespace", Schema.is(NamespaceName)))),
  deployments: Schema.optionalKey(someOf(namePattern("deployment", Schema.is(DeploymentName)))),
  minReplicas: Schema.optionalKey(count),
  maxReplicas: Schema.optionalKey(count),
  requireIfMatch: Schema.optionalKey(Schema.Boolean),
  metrics: Schema.optionalKey(Schema.Boolean)
})

/** The problems of a rule whose fields are valid by themselves. */
const ruleProblems = (rule: typeof RuleFields.Type): ReadonlyArray<Schema.FilterIssue> => {
  const problems: Array<Schema.FilterIssue> = []
  const at = (field: string, issue: string) => problems.push({ path: [field], issue })
  if (rule.verbs === undefined) {
    if (rule.metrics !== true) problems.push("this allows nothing: give it verbs, or metrics: true")
    for (const field of ["namespaces", "deployments"] as const) {
      if (rule[field] !== undefined) at(field, "means nothing without verbs")
    }
  } else {
    for (const field of ["namespaces", "deployments"] as const) {
      if (rule[field] === undefined) problems.push(`${field} is missing: verbs need it; write ["*"] for all`)
    }
  }
  for (const field of ["minReplicas", "maxReplicas", "requireIfMatch"] as const) {
    if (rule[field] !== undefined && rule.verbs?.includes("set") !== true)
      at(field, "means nothing without the verb set")
  }
  const { maxReplicas, minReplicas } = rule
  if (minReplicas !== undefined && maxReplicas !== undefined && minReplicas > maxReplicas) {
    at("minReplicas", `${minReplicas} is more than maxReplicas, ${maxReplicas}: no count would be allowed`)
  }
  return problems
}

/**
 * A rule. It allows a caller that matches any of `users` or `groups` each of `verbs` on objects that match both `namespaces`
 * and `deployments`, and limits the counts to set to `minReplicas..maxReplicas`. With `requireIfMatch` it allows only
 * writes with the precondition `If-Match`. `metrics` allows to read `/metrics`.
 */
export const Rule = RuleFields.check(Schema.makeFilter(ruleProblems))
export type Rule = typeof Rule.Type

/** A policy. */
export const Policy = Schema.Struct({ rules: Schema.Array(Rule) })
export type Policy = typeof Policy.Type
