/**
 * The part of the Kubernetes wire format that this service reads: schemas of the responses, and projections of objects
 * to the read model. Objects are projected as they are decoded, so that the rest of them is not kept.
 */
import { Result, Schema } from "effect"
import type { ClusterEvent, WatchedResource } from "../model/ClusterEvent.ts"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { DeploymentObject, NamespaceObject, ScaledDeployment } from "../model/ReadModel.ts"
import { ReplicaCount } from "../contract/Names.ts"
import { ResourceVersion } from "../model/ResourceVersion.ts"
import { withoutManagedFields } from "./ManagedFields.ts"

// encoding/json in Go writes an absent list, map or string as null, as "", or omits it.
const absent = <S extends Schema.Top>(schema: S) => Schema.optional(Schema.NullOr(schema))

/** A `Status`: the body of an error response, or the object of an ERROR event. */
export const Status = Schema.Struct({
  code: absent(Schema.Number),
  reason: absent(Schema.String),
  message: absent(Schema.String),
  details: absent(
    Schema.Struct({
      retryAfterSeconds: absent(Schema.Number),
      causes: absent(Schema.Array(Schema.Struct({ reason: absent(Schema.String) })))
    })
  )
})
export type Status = typeof Status.Type

const ListPage = Schema.Struct({
  metadata: Schema.Struct({ resourceVersion: ResourceVersion, continue: absent(Schema.String) }),
  items: absent(Schema.Array(Schema.Unknown))
})

const WatchLine = Schema.Struct({
  type: Schema.Literals(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]),
  object: Schema.Unknown
})

const Bookmark = Schema.Struct({
  metadata: Schema.Struct({
    resourceVersion: ResourceVersion,
    annotations: absent(Schema.Record(Schema.String, Schema.String))
  })
})

const Namespace = Schema.Struct({
  metadata: Schema.Struct({ name: NamespaceName, resourceVersion: ResourceVersion })
})

const deploymentMetadata = Schema.Struct({
  namespace: NamespaceName,
  name: DeploymentName,
  resourceVersion: ResourceVersion
})

const replicas = absent(Schema.Struct({ replicas: absent(ReplicaCount) }))

const Deployment = Schema.Struct({ metadata: deploymentMetadata, spec: replicas })

const Scale = Schema.Struct({
  metadata: Schema.Struct({ ...deploymentMetadata.fields, uid: absent(Schema.NonEmptyString) }),
  spec: replicas
})

const AccessReview = Schema.Struct({
  status: Schema.Struct({ allowed: Schema.Boolean, reason: absent(Schema.String) })
})

/** The result of a SubjectAccessReview. */
export interface AccessDecision {
  readonly allowed: boolean
  readonly reason: string
}

const oneReplica = ReplicaCount.make(1)
const noReplicas = ReplicaCount.make(0)

/** A decoded value, or why decoding failed. */
export type Decoded<A> = Result.Result<A, string>

const decoder = <A, B>(schema: Schema.Decoder<A>, project: (value: A) => B): ((input: unknown) => Decoded<B>) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (input) => Result.mapBoth(decode(input), { onFailure: (issue) => issue.message, onSuccess: project })
}

/** Parses JSON without its `managedFields`. */
export const decodeJson: (text: string) => Decoded<unknown> = (() => {
  const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Unknown))
  return (text: string) => Result.mapError(decode(withoutManagedFields(text)), () => "not JSON")
})()

/** Decodes a `Status`. */
export const decodeStatus = decoder(Status, (status) => status)

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

/** A kind of object to list and watch: its path, its decoder, and the events of its changes. */
export interface ResourceKind<A extends { readonly resourceVersion: ResourceVersion }> {
  readonly resource: WatchedResource
  /** Limits the kind to one namespace. Default: the whole cluster. */
  readonly namespace?: NamespaceName | undefined
  /** The path of the collection, of the whole cluster or of one namespace. */
  readonly path: (namespace?: NamespaceName) => string
  readonly decode: (input: unknown) => Decoded<A>
  /** Identifies an object among those of its kind. */
  readonly key: (object: A) => string
  readonly replaced: (items: ReadonlyArray<A>, resourceVersion: ResourceVersion) => ClusterEvent
  readonly applied: (object: A) => ClusterEvent
  readonly deleted: (object: A) => ClusterEvent
}

/** Decodes a Namespace. */
export const decodeNamespace: (input: unknown) => Decoded<NamespaceObject> = decoder(
  Namespace,
  ({ metadata }) => metadata
)

/** Namespaces. They are cluster-scoped. */
export const namespaces: ResourceKind<NamespaceObject> = {
  resource: "namespaces",
  path: () => "/api/v1/namespaces",
  decode: decodeNamespace,
  key: (object) => object.name,
  replaced: (items, resourceVersion) => ({ _tag: "NamespacesReplaced", items, resourceVersion }),
  applied: (object) => ({ _tag: "NamespaceApplied", object }),
  deleted: ({ name, resourceVersion }) => ({ _tag: "NamespaceDeleted", name, resourceVersion })
}

/** Deployments of the whole cluster. */
export const deployments: ResourceKind<DeploymentObject> = {
  resource: "deployments",
  path: (namespace) =>
    namespace === undefined ? "/apis/apps/v1/deployments" : `/apis/apps/v1/namespaces/${namespace}/deployments`,
  decode: decoder(Deployment, ({ metadata, spec }) => ({ ...metadata, replicas: spec?.replicas ?? oneReplica })),
  key: (object) => `${object.namespace}/${object.name}`,
  replaced: (items, resourceVersion) => ({ _tag: "DeploymentsReplaced", items, resourceVersion }),
  applied: (object) => ({ _tag: "DeploymentApplied", object }),
  deleted: ({ name, namespace, resourceVersion }) => ({
    _tag: "DeploymentDeleted",
    ref: { namespace, name },
    resourceVersion
  })
}

/** Deployments of one namespace. */
export const deploymentsIn = (namespace: NamespaceName): ResourceKind<DeploymentObject> => ({
  ...deployments,
  namespace,
  replaced: (items, resourceVersion) => ({ _tag: "DeploymentsReplaced", items, resourceVersion, namespace })
})

/** A page of a list. `continue` is the token for the next page, undefined on the last. */
export interface KubeListPage<A> {
  readonly items: ReadonlyArray<A>
  readonly resourceVersion: ResourceVersion
  readonly continue: string | undefined
}

const decodePageShape = Schema.decodeUnknownResult(ListPage)

/** Decodes a page of a list of `kind`. */
export const decodeListPage = <A extends { readonly resourceVersion: ResourceVersion }>(
  kind: ResourceKind<A>,
  input: unknown
): Decoded<KubeListPage<A>> =>
  Result.gen(function* () {
    const { items, metadata } = yield* Result.mapError(decodePageShape(input), (issue) => issue.message)
    const objects: Array<A> = []
    for (const item of items ?? []) {
      objects.push(yield* kind.decode(item))
    }
    return {
      items: objects,
      resourceVersion: metadata.resourceVersion,
      continue: metadata.continue === null || metadata.continue === "" ? undefined : metadata.continue
    }
  })

/**
 * An event of a watch.
 *
 * - `Opened`: the server accepted the watch.
 * - `Applied`: added or changed. `Deleted`: deleted; the object's version is that of its deletion.
 * - `Bookmark`: all changes up to `resourceVersion` were sent. `initialEventsEnd` marks the end of a streaming list.
 * - `Failed`: an ERROR event.
 */
export type WatchEvent<A> =
  | { readonly _tag: "Opened" }
  | { readonly _tag: "Applied"; readonly object: A }
  | { readonly _tag: "Deleted"; readonly object: A }
  | { readonly _tag: "Bookmark"; readonly resourceVersion: ResourceVersion; readonly initialEventsEnd: boolean }
  | { readonly _tag: "Failed"; readonly status: Status }

const decodeWatchLine = Schema.decodeUnknownResult(WatchLine)

const decodeBookmark = decoder(Bookmark, ({ metadata }): WatchEvent<never> => ({
  _tag: "Bookmark",
  resourceVersion: metadata.resourceVersion,
  initialEventsEnd: metadata.annotations?.["k8s.io/initial-events-end"] === "true"
}))

/** Decodes a line of a watch of `kind`. */
export const decodeWatchEvent = <A extends { readonly resourceVersion: ResourceVersion }>(
  kind: ResourceKind<A>,
  input: unknown
): Decoded<WatchEvent<A>> =>
  Result.gen(function* () {
    const { object, type } = yield* Result.mapError(decodeWatchLine(input), (issue) => issue.message)
    switch (type) {
      case "ADDED":
      case "MODIFIED":
        return { _tag: "Applied", object: yield* kind.decode(object) }
      case "DELETED":
        return { _tag: "Deleted", object: yield* kind.decode(object) }
      case "BOOKMARK":
        return yield* decodeBookmark(object)
      case "ERROR":
        return { _tag: "Failed", status: yield* decodeStatus(object) }
    }
  })
