/**
 * A policy made ready to decide: what can be worked out once for a policy, or once for an identity, is.
 */
import { maxReplicaCount } from "../contract/Names.ts"
import type { Access } from "./Authorization.ts"
import type { Identity } from "../identity/Identity.ts"
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
  /** Its rule's place in the policy. */
  readonly index: number
  readonly users: Patterns
  readonly groups: Patterns
  readonly namespaces: Patterns
  readonly deployments: Patterns
  readonly min: number
  readonly max: number
  readonly rule: Rule
}

const grant = (rule: Rule, index: number): Grant => ({
  index,
  users: patterns(rule.subjects.users),
  groups: patterns(rule.subjects.groups),
  namespaces: patterns(rule.namespaces),
  deployments: patterns(rule.deployments),
  min: rule.minReplicas ?? 0,
  max: rule.maxReplicas ?? maxReplicaCount,
  rule
})

type Asked = Exclude<Access, { readonly resource: "namespaces" | "metrics" }>

/** Grants by the namespaces that they name, and those that have patterns. */
interface Grants {
  readonly named: ReadonlyMap<string, ReadonlyArray<Grant>>
  readonly patterned: ReadonlyArray<Grant>
}

const grants = (all: ReadonlyArray<Grant>): Grants => {
  const named = new Map<string, Array<Grant>>()
  for (const one of all) {
    for (const namespace of one.namespaces.exact) {
      const others = named.get(namespace)
      if (others === undefined) named.set(namespace, [one])
      else others.push(one)
    }
  }
  return { named, patterned: all.filter(({ namespaces }) => namespaces.all || namespaces.prefixes.length > 0) }
}

/** Whether a grant whose namespaces match covers the rest of an access too. */
const holds = (one: Grant, access: Asked): boolean => {
  switch (access.verb) {
    case "list":
      return one.deployments.all
    case "get":
      return match(one.deployments, access.deployment)
    case "set":
      return access.replicas >= one.min && access.replicas <= one.max && match(one.deployments, access.deployment)
  }
}

const covers = (self: Grants, access: Asked): boolean => {
  const named = self.named.get(access.namespace)
  if (named !== undefined) for (const one of named) if (holds(one, access)) return true
  for (const one of self.patterned) if (match(one.namespaces, access.namespace) && holds(one, access)) return true
  return false
}

/** What is granted to those for whom the same rules are, by what they ask for. */
interface Permission {
  readonly namespaces: boolean
  readonly metrics: boolean
  readonly list: Grants
  readonly get: Grants
  readonly set: Grants
}

const permission = (mine: ReadonlyArray<Grant>): Permission => {
  const withVerb = (verb: "list" | "get" | "set") => mine.filter(({ rule }) => rule.verbs?.includes(verb) === true)
  return {
    namespaces: withVerb("list").some(({ namespaces }) => namespaces.all),
    metrics: mine.some(({ rule }) => rule.metrics === true),
    list: grants(withVerb("list")),
    get: grants(withVerb("get")),
    set: grants(withVerb("set"))
  }
}

const allows = (self: Permission, access: Access): boolean => {
  switch (access.resource) {
    case "metrics":
      return self.metrics
    case "namespaces":
      return self.namespaces
    case "deployments":
    case "replica_count":
      return covers(self[access.verb], access)
  }
}

const keptPermissions = 1000

/**
 * Decides by a policy: whether one rule by itself allows the whole of an access. What an identity is granted is worked
 * out at its first question and kept as long as the identity lives, which is as long as its connection; those for whom
 * the same rules are share it.
 */
export const decider = (policy: Policy): ((identity: Identity, access: Access) => boolean) => {
  const all = policy.rules.map(grant)
  const shared = new Map<string, Permission>()
  const known = new WeakMap<Identity, Permission>()

  const permissionOf = ({ groups, user }: Identity): Permission => {
    const mine = all.filter((one) => match(one.users, user) || groups.some((group) => match(one.groups, group)))
    const key = mine.map(({ index }) => index).join()
    const existing = shared.get(key)
    if (existing !== undefined) return existing
    const made = permission(mine)
    if (shared.size >= keptPermissions) shared.clear()
    shared.set(key, made)
    return made
  }

  return (identity, access) => {
    let own = known.get(identity)
    if (own === undefined) {
      own = permissionOf(identity)
      known.set(identity, own)
    }
    return allows(own, access)
  }
}
