import { Context, Effect, Layer } from "effect"
import { ClusterUnavailable, Unauthorized } from "../contract/Problems.ts"
import type { Any, DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { ReplicaCount } from "../contract/Names.ts"
import type { Identity } from "../identity/Identity.ts"

/**
 * An action that a caller requests. `ANY` for the namespace covers all namespaces, `ANY` for the deployment all
 * deployments.
 */
export type Access =
  | { readonly verb: "list"; readonly resource: "namespaces" }
  | { readonly verb: "get"; readonly resource: "metrics" }
  | { readonly verb: "list"; readonly resource: "deployments"; readonly namespace: NamespaceName | Any }
  | {
      readonly verb: "get"
      readonly resource: "replica_count"
      readonly namespace: NamespaceName | Any
      readonly deployment: DeploymentName | Any
    }
  | {
      readonly verb: "set"
      readonly resource: "replica_count"
      readonly namespace: NamespaceName
      readonly deployment: DeploymentName
      readonly replicas: ReplicaCount
    }

/** An access that sets a replica count. */
export type SetAccess = Extract<Access, { readonly verb: "set" }>

/** Describes an access for the client: the verb and the object, never the rule that denied it. */
export const describe = (access: Access): string => {
  switch (access.resource) {
    case "namespaces":
      return "list namespaces"
    case "metrics":
      return "get metrics"
    case "deployments":
      return access.namespace === "ANY"
        ? "list deployments in all namespaces"
        : `list deployments in namespace ${access.namespace}`
    case "replica_count": {
      const what = access.deployment === "ANY" ? "replica counts" : `the replica count of ${access.deployment}`
      const where = access.namespace === "ANY" ? "in all namespaces" : `in namespace ${access.namespace}`
      return `${access.verb} ${what}${access.verb === "set" ? ` to ${access.replicas}` : ""} ${where}`
    }
  }
}

/** The error of a denied access. */
export const refused = (identity: Identity, access: Access): Unauthorized =>
  new Unauthorized({ detail: `${identity.user} may not ${describe(access)}.` })

/**
 * Authorizes accesses.
 *
 * `check` succeeds if the access is allowed, and fails with `Unauthorized` if it is denied. It fails with
 * `ClusterUnavailable` if the cluster decides and does not answer: a missing answer never allows anything.
 *
 * `alreadyAllows` is the part of `check` that needs no I/O, at `nowMillis` since the epoch. `true` means that `check` would
 * succeed; `false` means nothing. It is a plain function, because every read calls it.
 *
 * `requiresIfMatch` reports whether `check` allows an access only with the precondition `If-Match`.
 */
export class Authorization extends Context.Service<
  Authorization,
  {
    readonly alreadyAllows: (identity: Identity, access: Access, nowMillis: number) => boolean
    readonly requiresIfMatch: (identity: Identity, access: SetAccess) => boolean
    readonly check: (identity: Identity, access: Access) => Effect.Effect<void, Unauthorized | ClusterUnavailable>
  }
>()("kube-resource-api/authorization/Authorization") {
  /** Allows what `decide` allows. For tests. */
  static readonly layerScripted = (decide: (identity: Identity, access: Access) => boolean) =>
    Layer.succeed(Authorization, {
      alreadyAllows: decide,
      requiresIfMatch: () => false,
      check: (identity, access) => (decide(identity, access) ? Effect.void : Effect.fail(refused(identity, access)))
    })

  /** Allows everything to every identified client. */
  static readonly layerAllowAll = Authorization.layerScripted(() => true)

  /** Allows nothing. */
  static readonly layerDenyAll = Authorization.layerScripted(() => false)
}
