import { Schema } from "effect"

/** Who asks for what, in the words of a SubjectAccessReview. */
export const AccessQuestion = Schema.Struct({
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
export type AccessQuestion = typeof AccessQuestion.Type

/** The cluster's answer. `denied` is a definite no; without it, `allowed: false` says only that nothing allows it. */
export interface AccessDecision {
  readonly allowed: boolean
  readonly denied?: boolean
  readonly reason?: string
  readonly evaluationError?: string
}

/** How the embedded cluster's RBAC decides. */
export type DecideAccess = (question: AccessQuestion) => AccessDecision

/** RBAC without a rule. */
export const denyAll: DecideAccess = () => ({ allowed: false })

/** The body of a review's request. */
export const AccessReviewBody = Schema.fromJsonString(Schema.Struct({ spec: AccessQuestion }))

/** The review as the server sends it back. */
export const accessReviewJson = (question: AccessQuestion, decision: AccessDecision): string =>
  JSON.stringify({
    kind: "SubjectAccessReview",
    apiVersion: "authorization.k8s.io/v1",
    metadata: {},
    spec: question,
    status: decision
  })
