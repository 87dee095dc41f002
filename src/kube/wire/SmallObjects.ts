/** Decodes the responses that are always JSON. They are of single objects, rare and small. */
import { Schema } from "effect"
import { DeploymentName, NamespaceName, ReplicaCount } from "../../contract/Names.ts"
import type { NamespaceObject, ScaledDeployment } from "../../model/ReadModel.ts"
import { ResourceVersion } from "../../model/ResourceVersion.ts"
import { absent, decoder } from "./Json.ts"
import type { Decoded } from "./ResourceKind.ts"

const Namespace = Schema.Struct({
  metadata: Schema.Struct({ name: NamespaceName, resourceVersion: ResourceVersion })
})

const IdentifiedNamespace = Schema.Struct({
  metadata: Schema.Struct({ uid: Schema.NonEmptyString.check(Schema.isMaxLength(64)) })
})

const Scale = Schema.Struct({
  metadata: Schema.Struct({
    namespace: NamespaceName,
    name: DeploymentName,
    resourceVersion: ResourceVersion,
    uid: absent(Schema.NonEmptyString)
  }),
  spec: absent(Schema.Struct({ replicas: absent(ReplicaCount) }))
})

const AccessReview = Schema.Struct({
  status: Schema.Struct({ allowed: Schema.Boolean, reason: absent(Schema.String) })
})

/** The result of a SubjectAccessReview. */
export interface AccessDecision {
  readonly allowed: boolean
  readonly reason: string
}

const noReplicas = ReplicaCount.make(0)

/** Decodes a Namespace. */
export const decodeNamespace: (input: unknown) => Decoded<NamespaceObject> = decoder(
  Namespace,
  ({ metadata }) => metadata
)

/** Decodes the UID of a Namespace. */
export const decodeNamespaceUid: (input: unknown) => Decoded<string> = decoder(
  IdentifiedNamespace,
  ({ metadata }) => metadata.uid
)

/** Decodes a `Scale`. */
export const decodeScale: (input: unknown) => Decoded<ScaledDeployment> = decoder(Scale, ({ metadata, spec }) => ({
  ...metadata,
  uid: metadata.uid ?? undefined,
  // A count of zero is absent from a Scale. The default of a Deployment, in contrast, is 1.
  replicas: spec?.replicas ?? noReplicas
}))

/** Decodes a `SubjectAccessReview`. */
export const decodeAccessReview: (input: unknown) => Decoded<AccessDecision> = decoder(AccessReview, ({ status }) => ({
  allowed: status.allowed,
  reason: status.reason ?? ""
}))
