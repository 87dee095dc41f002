/** Decides by a policy. Whatever depends only on the policy or the identity is computed once, because reads wait for it. */
import { maxReplicaCount } from "../contract/Names.ts"
import type { Access } from "./Authorization.ts"
import type { Identity } from "../identity/Identity.ts"
import type { Policy, Rule } from "./Policy.ts"

/** Compiled patterns. `all` means that one of them is `*`. */
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

/** Whether one of the patterns matches. Only `*` matches `ANY`, which is upper case. */
const match = (self: Patterns, name: string): boolean => {
  if (self.all || self.exact.has(name)) return true
  for (const prefix of self.prefixes) if (name.startsWith(prefix)) return true
  return false
}

interface Grant {
  /** The index of its rule in the policy. */
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

/** Grants, indexed by the namespaces that they name; those with patterns apart. */
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

/** Whether a grant whose namespaces match covers the rest of the access. */
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

/** The grants of identities that the same rules apply to, by verb. */
interface Permission {
  readonly namespaces: boolean
  readonly metrics: boolean
  readonly list: Grants
  readonly get: Grants
  readonly set: Grants
  /** The writes that are allowed without a precondition. */
  readonly setAlways: Grants
}

const permission = (mine: ReadonlyArray<Grant>): Permission => {
  const withVerb = (verb: "list" | "get" | "set") => mine.filter(({ rule }) => rule.verbs?.includes(verb) === true)
  return {
    namespaces: withVerb("list").some(({ namespaces }) => namespaces.all),
    metrics: mine.some(({ rule }) => rule.metrics === true),
    list: grants(withVerb("list")),
    get: grants(withVerb("get")),
    set: grants(withVerb("set")),
    setAlways: grants(withVerb("set").filter(({ rule }) => rule.requireIfMatch !== true))
  }
}

const allows = (self: Permission, access: Access, isConditional: boolean): boolean => {
  switch (access.resource) {
    case "metrics":
      return self.metrics
    case "namespaces":
      return self.namespaces
    case "deployments":
    case "replica_count":
      return covers(access.verb === "set" && !isConditional ? self.setAlways : self[access.verb], access)
  }
}

const keptPermissions = 1000

/**
 * Decides whether a single rule allows the whole of an access. The permission of an identity is computed at its first access
 * and kept as long as the identity, which lives as long as its connection. Identities with the same rules share it.
 *
 * `isConditional`: whether a write has the precondition `If-Match`. Default: true.
 */
export const decider = (policy: Policy): ((identity: Identity, access: Access, isConditional?: boolean) => boolean) => {
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

  return (identity, access, isConditional = true) => {
    let own = known.get(identity)
    if (own === undefined) {
      own = permissionOf(identity)
      known.set(identity, own)
    }
    return allows(own, access, isConditional)
  }
}
