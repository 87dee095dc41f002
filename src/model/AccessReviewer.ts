import { Context, type Effect } from "effect"
import type { ClusterUnavailable } from "../contract/Problems.ts"

/** Who a question is about, as the cluster knows it. */
export interface AccessSubject {
  readonly user: string
  readonly groups: ReadonlyArray<string>
}

/** What is asked for of a resource. Without a namespace it is asked for in all, without a name for all names. */
export interface ResourceAccess {
  readonly verb: string
  /** The API group, `""` for the core one. */
  readonly group: string
  readonly resource: string
  readonly subresource?: string | undefined
  readonly namespace?: string | undefined
  readonly name?: string | undefined
}

/** What is asked for of a path that is no resource, such as `/metrics`. */
export interface PathAccess {
  readonly verb: string
  readonly path: string
}

/** A question to the cluster's authorizer: may this subject do that? */
export interface AccessQuestion {
  readonly subject: AccessSubject
  readonly access: ResourceAccess | PathAccess
}

/**
 * Asks the cluster's own authorizer. Succeeds with whether the subject may; fails with `ClusterUnavailable` where there is
 * no answer, which is neither a yes nor a no.
 */
export class AccessReviewer extends Context.Service<
  AccessReviewer,
  { readonly review: (question: AccessQuestion) => Effect.Effect<boolean, ClusterUnavailable> }
>()("kube-resource-api/model/AccessReviewer") {}
