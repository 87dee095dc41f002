import { Context, Effect, Layer } from "effect"
import { ClusterUnavailable, Unauthorized } from "../contract/Problems.ts"
import type { Any, DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { ReplicaCount } from "../contract/Names.ts"
import type { Identity } from "../identity/Identity.ts"

/**
 * What a caller asks to do.
 *
 * - `list namespaces`: endpoint 1; `list deployments`: endpoint 2; `get`, `set`: a replica count.
 * - `get metrics`: what the service tells of itself.
 * - `ANY` for the namespace asks across all of them, `ANY` for the deployment for all deployments.
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

/** An access in words: which verb on what. It is what a refused client is told, and never which rule refused it. */
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

/** The refusal of an access. */
export const refused = (identity: Identity, access: Access): Unauthorized =>
  new Unauthorized({ detail: `${identity.user} may not ${describe(access)}.` })

/**
 * Whether a caller may do what it asks.
 *
 * `check` succeeds if so; fails with `Unauthorized` if not, and with `ClusterUnavailable`
 * where the cluster decides and cannot be asked: nothing is ever allowed for want of an answer.
 *
 * `alreadyAllows` tells what is known at `nowMillis`, in milliseconds since the epoch, without asking anybody: `true`, and
 * `check` would succeed; `false` says nothing. It is a plain function, for it is part of every read.
 */
export class Authorization extends Context.Service<
  Authorization,
  {
    readonly alreadyAllows: (identity: Identity, access: Access, nowMillis: number) => boolean
    readonly check: (identity: Identity, access: Access) => Effect.Effect<void, Unauthorized | ClusterUnavailable>
  }
>()("kube-resource-api/authorization/Authorization") {
  /** Allows what `decide` says, for tests. */
  static readonly layerScripted = (decide: (identity: Identity, access: Access) => boolean) =>
    Layer.succeed(Authorization, {
      alreadyAllows: decide,
      check: (identity, access) => (decide(identity, access) ? Effect.void : Effect.fail(refused(identity, access)))
    })

  /** Allows everything to everybody who is identified. */
  static readonly layerAllowAll = Authorization.layerScripted(() => true)

  /** Allows nothing. */
  static readonly layerDenyAll = Authorization.layerScripted(() => false)
}
