/**
 * A policy made ready to decide: what can be worked out once for a policy, or once for an identity, is.
 */
import { maxReplicaCount } from "../domain/ReplicaCount.ts"
import type { Access } from "./Authorization.ts"
import type { Identity } from "./Identity.ts"
import type { Policy, Rule } from "./Policy.ts"

/** Some patterns. `all`: one of them is `*` by itself; several that together match everything are not that. */
interface Patterns {
  readonly all: boolean
  readonly exact: ReadonlySet<string>
  readonly prefixes: ReadonlyArray<string>
}

const patterns = (written: ReadonlyArray<string> = []): Patterns => ({
  all: written.includes("*"),
  exact: new Set(written.filter((pattern) => !pattern.endsWith("*"))),
  prefixes: written.filter((pattern) => pattern.endsWith("*") && pattern !== "*").map((pattern) => pattern.slice(0, -1))
})

/** Whether one of the patterns matches. `ANY`, being upper case, is matched by `*` alone. */
const match = (self: Patterns, name: string): boolean => {
  if (self.all || self.exact.has(name)) return true
  for (const prefix of self.prefixes) if (name.startsWith(prefix)) return true
  return false
}

interface Grant {
  readonly users: Patterns
  readonly groups: Patterns
  readonly namespaces: Patterns
  readonly deployments: Patterns
  readonly min: number
  readonly max: number
  readonly rule: Rule
}

const grant = (rule: Rule): Grant => ({
  users: patterns(rule.subjects.users),
  groups: patterns(rule.subjects.groups),
  namespaces: patterns(rule.namespaces),
  deployments: patterns(rule.deployments),
  min: rule.minReplicas ?? 0,
  max: rule.maxReplicas ?? maxReplicaCount,
  rule
})

/** What an identity is granted, by what it asks for. */
interface Grants {
  readonly list: ReadonlyArray<Grant>
  readonly get: ReadonlyArray<Grant>
  readonly set: ReadonlyArray<Grant>
  readonly metrics: boolean
}

const grantsOf = (all: ReadonlyArray<Grant>, { groups, user }: Identity): Grants => {
  const mine = all.filter((one) => match(one.users, user) || groups.some((group) => match(one.groups, group)))
  const withVerb = (verb: "list" | "get" | "set") => mine.filter(({ rule }) => rule.verbs?.includes(verb) === true)
  return {
    list: withVerb("list"),
    get: withVerb("get"),
    set: withVerb("set"),
    metrics: mine.some(({ rule }) => rule.metrics === true)
  }
}

const allows = (grants: Grants, access: Access): boolean => {
  switch (access.resource) {
    case "metrics":
      return grants.metrics
    case "namespaces":
      for (const one of grants.list) if (one.namespaces.all) return true
      return false
    case "deployments":
      for (const one of grants.list) if (one.deployments.all && match(one.namespaces, access.namespace)) return true
      return false
    case "replica_count":
      if (access.verb === "get") {
        for (const one of grants.get) {
          if (match(one.namespaces, access.namespace) && match(one.deployments, access.deployment)) return true
        }
        return false
      }
      for (const one of grants.set) {
        if (
          access.replicas >= one.min &&
          access.replicas <= one.max &&
          match(one.namespaces, access.namespace) &&
          match(one.deployments, access.deployment)
        ) {
          return true
        }
      }
      return false
  }
}

/**
 * Decides by a policy: whether one rule by itself allows the whole of an access. What an identity is granted is worked
 * out at its first question and kept as long as the identity lives, which is as long as its connection.
 */
export const decider = (policy: Policy): ((identity: Identity, access: Access) => boolean) => {
  const all = policy.rules.map(grant)
  const known = new WeakMap<Identity, Grants>()
  return (identity, access) => {
    let grants = known.get(identity)
    if (grants === undefined) {
      grants = grantsOf(all, identity)
      known.set(identity, grants)
    }
    return allows(grants, access)
  }
}
