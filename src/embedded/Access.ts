/**
 * Access control of the embedded cluster: RBAC for the requests it receives, and its answers to SubjectAccessReviews.
 */
import { Schema } from "effect"
import type { KubeRoute, RequestVerb } from "./KubeRoute.ts"

/**
 * One rule of a Role or ClusterRole that is bound to every authenticated user. With `namespace` it is a Role's, which
 * applies in that namespace only. `*` in a list matches everything. Without `resourceNames` the rule matches any name.
 */
export interface RbacRule {
  readonly namespace?: string | undefined
  readonly apiGroups: ReadonlyArray<string>
  readonly resources: ReadonlyArray<string>
  readonly verbs: ReadonlyArray<RequestVerb | "*">
  readonly resourceNames?: ReadonlyArray<string> | undefined
}

const matches = (list: ReadonlyArray<string>, word: string): boolean => list.includes("*") || list.includes(word)

/** Whether one of the rules permits the request, as kube-apiserver's RBAC authorizer decides. */
export const permits = (
  rules: ReadonlyArray<RbacRule>,
  { group, namespace, resource, target, verb }: KubeRoute
): boolean =>
  rules.some(
    (rule) =>
      (rule.namespace === undefined || rule.namespace === namespace) &&
      matches(rule.apiGroups, group) &&
      matches(rule.resources, resource) &&
      matches(rule.verbs, verb) &&
      (rule.resourceNames === undefined || ("name" in target && rule.resourceNames.includes(target.name)))
  )

/** The `spec` of a SubjectAccessReview: a user, and the access in question. */
export const AccessReviewSpec = Schema.Struct({
  user: Schema.optionalKey(Schema.String),
  uid: Schema.optionalKey(Schema.String),
  groups: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))),
  extra: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Array(Schema.String)))),
  resourceAttributes: Schema.optionalKey(
    Schema.Struct({
      namespace: Schema.optionalKey(Schema.String),
      verb: Schema.optionalKey(Schema.String),
      group: Schema.optionalKey(Schema.String),
      version: Schema.optionalKey(Schema.String),
      resource: Schema.optionalKey(Schema.String),
      subresource: Schema.optionalKey(Schema.String),
      name: Schema.optionalKey(Schema.String)
    })
  ),
  nonResourceAttributes: Schema.optionalKey(
    Schema.Struct({ path: Schema.optionalKey(Schema.String), verb: Schema.optionalKey(Schema.String) })
  )
})
export type AccessReviewSpec = typeof AccessReviewSpec.Type

/**
 * The `status` of a SubjectAccessReview. Without `denied`, `allowed: false` means only that no rule allows the request.
 */
export interface AccessReviewStatus {
  readonly allowed: boolean
  readonly denied?: boolean
  readonly reason?: string
  readonly evaluationError?: string
}

/** Answers a SubjectAccessReview. */
export type DecideAccess = (spec: AccessReviewSpec) => AccessReviewStatus

/** RBAC without rules. */
export const denyAll: DecideAccess = () => ({ allowed: false })

/** The body of a request for a SubjectAccessReview. */
export const AccessReviewBody = Schema.fromJsonString(Schema.Struct({ spec: AccessReviewSpec }))

/** The JSON of the SubjectAccessReview in the response. */
export const accessReviewJson = (spec: AccessReviewSpec, status: AccessReviewStatus): string =>
  JSON.stringify({
    kind: "SubjectAccessReview",
    apiVersion: "authorization.k8s.io/v1",
    metadata: {},
    spec,
    status
  })

/** The permissions of the group `readers`: verb, API group and resource, or verb and path. */
const reading = new Set([
  "list /namespaces",
  "list apps/deployments",
  "get apps/deployments",
  "get apps/deployments/scale",
  "get /metrics"
])

const requested = ({ nonResourceAttributes, resourceAttributes }: AccessReviewSpec): string => {
  if (resourceAttributes === undefined)
    return `${nonResourceAttributes?.verb ?? ""} ${nonResourceAttributes?.path ?? ""}`
  const { group = "", resource = "", subresource, verb = "" } = resourceAttributes
  return `${verb} ${group}/${resource}${subresource === undefined ? "" : `/${subresource}`}`
}

/**
 * The demo cluster's RBAC: the user `admin` and the group `platform` may do everything, the group `readers` may read
 * everything, and nobody else may do anything. The policy in deploy/demo/policy.yaml grants the same.
 */
export const demoAccess: DecideAccess = (spec) => {
  const groups = spec.groups ?? []
  if (spec.user === "admin" || groups.includes("platform")) {
    return { allowed: true, reason: 'RBAC: allowed by ClusterRoleBinding "admins"' }
  }
  return groups.includes("readers") && reading.has(requested(spec))
    ? { allowed: true, reason: 'RBAC: allowed by ClusterRoleBinding "readers"' }
    : { allowed: false }
}
