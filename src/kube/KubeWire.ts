/**
 * The Kubernetes wire, as far as this service reads it: schemas of the answers, and of each kind of object the
 * projection to the read model. Objects are projected as they are decoded, so nothing else of them is kept.
 */
import { Result, Schema } from "effect"
import type { ClusterEvent, WatchedResource } from "../model/ClusterEvent.ts"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { DeploymentObject, NamespaceObject, ScaledDeployment } from "../model/ReadModel.ts"
import { ReplicaCount } from "../contract/Names.ts"
import { ResourceVersion } from "../model/ResourceVersion.ts"
import { withoutManagedFields } from "./ManagedFields.ts"

// encoding/json in Go writes an absent list, map or string as null, as "" or not at all.
const absent = <S extends Schema.Top>(schema: S) => Schema.optional(Schema.NullOr(schema))

/** A `Status`: how the API tells of an error, in a response's body or in an ERROR event. */
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

/** What `SubjectAccessReview` answers. */
export interface AccessDecision {
  readonly allowed: boolean
  readonly reason: string
}

const oneReplica = ReplicaCount.make(1)
const noReplicas = ReplicaCount.make(0)

/** The result of decoding: the value, or why it could not be decoded. */
export type Decoded<A> = Result.Result<A, string>

const decoder = <A, B>(schema: Schema.Decoder<A>, project: (value: A) => B): ((input: unknown) => Decoded<B>) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (input) => Result.mapBoth(decode(input), { onFailure: (issue) => issue.message, onSuccess: project })
}

/** Decodes the text of one JSON value, but for its `managedFields`. */
export const decodeJson: (text: string) => Decoded<unknown> = (() => {
  const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Unknown))
  return (text: string) => Result.mapError(decode(withoutManagedFields(text)), () => "not JSON")
})()

/** Decodes a `Status`. */
export const decodeStatus = decoder(Status, (status) => status)

/** Decodes the `Scale` that answers a write of it. */
export const decodeScale: (input: unknown) => Decoded<ScaledDeployment> = decoder(Scale, ({ metadata, spec }) => ({
  ...metadata,
  uid: metadata.uid ?? undefined,
  // Scale leaves a count of zero out, unlike Deployment, whose default is 1.
  replicas: spec?.replicas ?? noReplicas
}))

/** Decodes the answer to a `SubjectAccessReview`. */
export const decodeAccessReview: (input: unknown) => Decoded<AccessDecision> = decoder(AccessReview, ({ status }) => ({
  allowed: status.allowed,
  reason: status.reason ?? ""
}))

/** One kind of object that is listed and watched: where it lives, how it is decoded, and the events it makes. */
export interface ResourceKind<A extends { readonly resourceVersion: ResourceVersion }> {
  readonly resource: WatchedResource
  /** The one namespace whose objects these are; absent, the whole cluster's. */
  readonly namespace?: NamespaceName | undefined
  /** The collection's path on the API server, of the whole cluster or of one namespace. */
  readonly path: (namespace?: NamespaceName) => string
  readonly decode: (input: unknown) => Decoded<A>
  /** What identifies an object among those of its kind. */
  readonly key: (object: A) => string
  readonly replaced: (items: ReadonlyArray<A>, resourceVersion: ResourceVersion) => ClusterEvent
  readonly applied: (object: A) => ClusterEvent
  readonly deleted: (object: A) => ClusterEvent
}

/** Decodes one Namespace object. */
export const decodeNamespace: (input: unknown) => Decoded<NamespaceObject> = decoder(
  Namespace,
  ({ metadata }) => metadata
)

/** The namespaces. They are cluster-scoped: there is one collection of them. */
export const namespaces: ResourceKind<NamespaceObject> = {
  resource: "namespaces",
  path: () => "/api/v1/namespaces",
  decode: decodeNamespace,
  key: (object) => object.name,
  replaced: (items, resourceVersion) => ({ _tag: "NamespacesReplaced", items, resourceVersion }),
  applied: (object) => ({ _tag: "NamespaceApplied", object }),
  deleted: ({ name, resourceVersion }) => ({ _tag: "NamespaceDeleted", name, resourceVersion })
}

/** The deployments. */
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

/** The deployments of one namespace. */
export const deploymentsIn = (namespace: NamespaceName): ResourceKind<DeploymentObject> => ({
  ...deployments,
  namespace,
  replaced: (items, resourceVersion) => ({ _tag: "DeploymentsReplaced", items, resourceVersion, namespace })
})

/** One page of a list. `continue` asks for the next one, and is absent on the last. */
export interface KubeListPage<A> {
  readonly items: ReadonlyArray<A>
  readonly resourceVersion: ResourceVersion
  readonly continue: string | undefined
}

const decodePageShape = Schema.decodeUnknownResult(ListPage)

/** Decodes one page of a list of `kind`. */
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
 * What a watch tells.
 *
 * - `Opened`: the server took the watch; nothing has been said yet.
 * - `Applied`: added or changed. `Deleted`: gone; the object's version is that of its deletion.
 * - `Bookmark`: all is told up to `resourceVersion`; `initialEventsEnd` ends the initial events of a streaming list.
 * - `Failed`: the server's ERROR event.
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

/** Decodes one line of a watch of `kind`. */
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
