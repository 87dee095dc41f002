import { Context, type Effect } from "effect"
import type { ClusterUnavailable } from "../contract/Problems.ts"

/** A user as the cluster knows it. */
export interface AccessSubject {
  readonly user: string
  readonly groups: ReadonlyArray<string>
}

/** Access to a resource. Without a namespace it is access in all namespaces, without a name to all names. */
export interface ResourceAccess {
  readonly verb: string
  /** The API group; `""` is the core group. */
  readonly group: string
  readonly resource: string
  readonly subresource?: string | undefined
  readonly namespace?: string | undefined
  readonly name?: string | undefined
}

/** Access to a path that is no resource, such as `/metrics`. */
export interface PathAccess {
  readonly verb: string
  readonly path: string
}

/** Whether a subject has access. */
export interface AccessQuestion {
  readonly subject: AccessSubject
  readonly access: ResourceAccess | PathAccess
}

/**
 * The cluster's authorizer. Succeeds with whether the subject has access; fails with `ClusterUnavailable` without an
 * answer.
 */
export class AccessReviewer extends Context.Service<
  AccessReviewer,
  { readonly review: (question: AccessQuestion) => Effect.Effect<boolean, ClusterUnavailable> }
>()("kube-resource-api/model/AccessReviewer") {}
