/** All requests of this service to the Kubernetes API. */
import { Context, Duration, Effect, Layer, Option, Result, type Scope, Stream } from "effect"
import { HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import type { AccessQuestion } from "../model/AccessReviewer.ts"
import type { ScaleOptions } from "../model/DeploymentScaler.ts"
import type { DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { DeploymentRef, NamespaceObject, ScaledDeployment } from "../model/ReadModel.ts"
import type { ReplicaCount } from "../contract/Names.ts"
import type { ResourceVersion } from "../model/ResourceVersion.ts"
import { type KubeError, KubeUnreachable } from "./KubeErrors.ts"
import { KubeHttp } from "./KubeHttp.ts"
import { accepted, decoded, readPage, readWatch, unreachable } from "./KubeResponse.ts"
import { type KubeVerb, measured } from "./KubeMetrics.ts"
import { acceptList, acceptWatch, codecFor, type ContentType } from "./wire/ContentType.ts"
import { decodeJson } from "./wire/Json.ts"
import type { KubeListPage, WatchEvent } from "./wire/KubeCodec.ts"
import type { Decoded, ResourceKind } from "./wire/ResourceKind.ts"
import {
  type AccessDecision,
  decodeAccessReview,
  decodeNamespace,
  decodeNamespaceUid,
  decodeScale
} from "./wire/SmallObjects.ts"

/** A page of a consistent list. */
export interface ListPageRequest {
  /** Maximum number of objects in the page. Default: the whole list. */
  readonly limit?: number | undefined
  /** The token of the previous page. */
  readonly continue?: string | undefined
  /** Limits the request to a namespace. Default: the whole cluster. */
  readonly namespace?: NamespaceName | undefined
}

/** A watch. */
export interface WatchRequest {
  /** The version after which changes are sent. */
  readonly resourceVersion?: ResourceVersion | undefined
  /** Begin with the current objects and a bookmark with `initialEventsEnd`: a streaming list. */
  readonly sendInitialEvents: boolean
  /** Timeout after which the server ends the watch. */
  readonly timeoutSeconds: number
  /** Limits the request to a namespace. Default: the whole cluster. */
  readonly namespace?: NamespaceName | undefined
}

/** An Event of `core/v1` on a deployment, as `kubectl describe` shows it. Times are in RFC 3339. */
export interface KubeEvent {
  readonly apiVersion: "v1"
  readonly kind: "Event"
  readonly metadata: { readonly namespace: NamespaceName; readonly name: string }
  readonly involvedObject: {
    readonly apiVersion: "apps/v1"
    readonly kind: "Deployment"
    readonly namespace: NamespaceName
    readonly name: DeploymentName
    readonly uid?: string | undefined
    readonly resourceVersion: ResourceVersion
  }
  readonly type: "Normal" | "Warning"
  readonly reason: string
  readonly message: string
  readonly source: { readonly component: string; readonly host: string }
  readonly firstTimestamp: string
  readonly lastTimestamp: string
  readonly count: number
  readonly reportingComponent: string
  readonly reportingInstance: string
}

/** Options of the requests: timeouts and encoding. `openTimeout` limits the opening of a watch. */
export interface KubeApiOptions {
  /** Default: 30 seconds. */
  readonly listTimeout?: Duration.Input | undefined
  /** Default: 30 seconds. */
  readonly openTimeout?: Duration.Input | undefined
  /** Default: 10 seconds. */
  readonly scaleTimeout?: Duration.Input | undefined
  /** Default: 5 seconds. */
  readonly reviewTimeout?: Duration.Input | undefined
  /** Default: 5 seconds. */
  readonly eventTimeout?: Duration.Input | undefined
  /** Default: 5 seconds. */
  readonly identityTimeout?: Duration.Input | undefined
  /** The encoding to request for lists and watches. The server may still answer in JSON. Default: `protobuf`. */
  readonly contentType?: ContentType | undefined
}

/** The field manager of writes, and the name of this service in requests. */
export const fieldManager = "kube-resource-api"

const timedOut = (operation: string, limit: Duration.Input) =>
  Effect.timeoutOrElse({
    duration: limit,
    orElse: () =>
      Effect.fail(
        new KubeUnreachable({
          operation,
          message: `no response within ${Duration.format(Duration.fromInputUnsafe(limit))}`
        })
      )
  })

const scalePath = ({ name, namespace }: DeploymentRef): string =>
  `/apis/apps/v1/namespaces/${namespace}/deployments/${name}/scale`

const replicasPath = "/spec/replicas"

/** The JSON Patch of a Scale. The API server omits a count of 0, so the test for 0 is null, and `add` replaces it. */
const compareAndSet = (ifCount: ReplicaCount, replicas: ReplicaCount) => [
  { op: "test", path: replicasPath, value: ifCount === 0 ? null : ifCount },
  { op: "add", path: replicasPath, value: replicas }
]

type Versioned = { readonly resourceVersion: ResourceVersion }

const make = Effect.fnUntraced(function* (options: KubeApiOptions) {
  const client = HttpClient.withScope(yield* KubeHttp)
  const listTimeout = options.listTimeout ?? "30 seconds"
  const openTimeout = options.openTimeout ?? "30 seconds"
  const scaleTimeout = options.scaleTimeout ?? "10 seconds"
  const reviewTimeout = options.reviewTimeout ?? "5 seconds"
  const eventTimeout = options.eventTimeout ?? "5 seconds"
  const identityTimeout = options.identityTimeout ?? "5 seconds"
  const contentType = options.contentType ?? "protobuf"

  /** Sends a request. A status other than 2xx fails with `KubeStatusError`. The scope holds the response. */
  const send = (verb: KubeVerb, operation: string, request: HttpClientRequest.HttpClientRequest) =>
    measured(verb)(exchange(operation, request))

  const exchange = Effect.fnUntraced(function* (
    operation: string,
    request: HttpClientRequest.HttpClientRequest
  ): Effect.fn.Return<HttpClientResponse.HttpClientResponse, KubeError, Scope.Scope> {
    const response = yield* Effect.mapError(
      client.execute(HttpClientRequest.setHeader(request, "user-agent", fieldManager)),
      unreachable(operation)
    )
    return yield* accepted(operation, response)
  })

  const ask = <A>(
    verb: KubeVerb,
    operation: string,
    request: HttpClientRequest.HttpClientRequest,
    limit: Duration.Input,
    decode: (input: unknown) => Decoded<A>
  ): Effect.Effect<A, KubeError> =>
    send(verb, operation, HttpClientRequest.acceptJson(request)).pipe(
      Effect.flatMap((response) => Effect.mapError(response.text, unreachable(operation))),
      Effect.flatMap((text) => decoded(operation)(Result.flatMap(decodeJson(text), decode))),
      Effect.scoped,
      timedOut(operation, limit)
    )

  const findNamespace = <A>(name: NamespaceName, limit: Duration.Input, decode: (input: unknown) => Decoded<A>) =>
    ask("get", `get namespace ${name}`, HttpClientRequest.get(`/api/v1/namespaces/${name}`), limit, decode).pipe(
      Effect.map(Option.some),
      Effect.catchIf(
        (error) => error._tag === "KubeStatusError" && error.code === 404,
        () => Effect.succeedNone
      )
    )

  return KubeApi.of({
    listPage: (kind, page) => {
      const operation = `list ${kind.resource}`
      return send(
        "list",
        operation,
        HttpClientRequest.get(kind.path(page.namespace), {
          urlParams: { limit: page.limit, continue: page.continue },
          headers: { accept: acceptList(contentType) }
        })
      ).pipe(
        Effect.flatMap((response) => readPage(operation, codecFor(response.headers).page(kind), response)),
        Effect.scoped,
        timedOut(operation, listTimeout)
      )
    },

    watch: <A extends Versioned>(kind: ResourceKind<A>, watch: WatchRequest) => {
      const operation = `watch ${kind.resource}`
      const open = send(
        "watch",
        operation,
        HttpClientRequest.get(kind.path(watch.namespace), {
          urlParams: {
            watch: "true",
            allowWatchBookmarks: "true",
            timeoutSeconds: watch.timeoutSeconds,
            resourceVersion: watch.resourceVersion,
            ...(watch.sendInitialEvents
              ? { sendInitialEvents: "true", resourceVersionMatch: "NotOlderThan" }
              : undefined)
          },
          headers: { accept: acceptWatch(contentType) }
        })
      ).pipe(timedOut(operation, openTimeout))
      const opened: WatchEvent<A> = { _tag: "Opened" }
      return Stream.unwrap(
        Effect.map(open, (response) =>
          Stream.concat(Stream.succeed(opened), readWatch(operation, codecFor(response.headers).watch(kind), response))
        )
      )
    },

    getNamespace: (name) => findNamespace(name, listTimeout, decodeNamespace),

    getNamespaceUid: (name) => findNamespace(name, identityTimeout, decodeNamespaceUid),

    scale: (ref, replicas, { dryRun, ifCount }) =>
      ask(
        "scale",
        `scale deployment ${ref.namespace}/${ref.name}`,
        HttpClientRequest.patch(scalePath(ref), {
          urlParams: { fieldManager, ...(dryRun ? { dryRun: "All" } : {}) }
        }).pipe(
          ifCount === undefined
            ? HttpClientRequest.bodyText(JSON.stringify({ spec: { replicas } }), "application/merge-patch+json")
            : HttpClientRequest.bodyText(
                JSON.stringify(compareAndSet(ifCount, replicas)),
                "application/json-patch+json"
              )
        ),
        scaleTimeout,
        decodeScale
      ),

    getScale: (ref) =>
      ask(
        "get",
        `get the scale of deployment ${ref.namespace}/${ref.name}`,
        HttpClientRequest.get(scalePath(ref)),
        scaleTimeout,
        decodeScale
      ),

    accessReview: ({ access, subject }) =>
      ask(
        "review",
        "review access",
        HttpClientRequest.post("/apis/authorization.k8s.io/v1/subjectaccessreviews").pipe(
          HttpClientRequest.bodyJsonUnsafe({
            apiVersion: "authorization.k8s.io/v1",
            kind: "SubjectAccessReview",
            spec: {
              ...subject,
              ...("path" in access ? { nonResourceAttributes: access } : { resourceAttributes: access })
            }
          })
        ),
        reviewTimeout,
        decodeAccessReview
      ),

    createEvent: (event) =>
      ask(
        "event",
        `create an event in ${event.metadata.namespace}`,
        HttpClientRequest.post(`/api/v1/namespaces/${event.metadata.namespace}/events`).pipe(
          HttpClientRequest.bodyJsonUnsafe(event)
        ),
        eventTimeout,
        () => Result.void
      )
  })
})

/** The Kubernetes API. No method retries. */
export class KubeApi extends Context.Service<
  KubeApi,
  {
    /** A page of the current list (a consistent read). */
    readonly listPage: <A extends Versioned>(
      kind: ResourceKind<A>,
      page: ListPageRequest
    ) => Effect.Effect<KubeListPage<A>, KubeError>
    /**
     * A watch, from `Opened` until the server closes it. An ERROR event fails the stream with a `KubeStatusError` that
     * is `inStream`. Closing the scope of the stream closes the connection.
     */
    readonly watch: <A extends Versioned>(
      kind: ResourceKind<A>,
      watch: WatchRequest
    ) => Stream.Stream<WatchEvent<A>, KubeError>
    /** The namespace of this name, if it exists. */
    readonly getNamespace: (name: NamespaceName) => Effect.Effect<Option.Option<NamespaceObject>, KubeError>
    /** The UID of this namespace, if it exists. */
    readonly getNamespaceUid: (name: NamespaceName) => Effect.Effect<Option.Option<string>, KubeError>
    /**
     * Sets a deployment's replica count through its `scale` subresource. Succeeds with the accepted state. With `ifCount`
     * the write is one atomic compare-and-set, which fails with 422 if the deployment has a different count.
     */
    readonly scale: (
      ref: DeploymentRef,
      replicas: ReplicaCount,
      options: ScaleOptions
    ) => Effect.Effect<ScaledDeployment, KubeError>
    /** Reads a deployment's replica count from its `scale` subresource (a consistent read). */
    readonly getScale: (ref: DeploymentRef) => Effect.Effect<ScaledDeployment, KubeError>
    /** Creates a SubjectAccessReview. */
    readonly accessReview: (question: AccessQuestion) => Effect.Effect<AccessDecision, KubeError>
    /** Creates an Event. */
    readonly createEvent: (event: KubeEvent) => Effect.Effect<void, KubeError>
  }
>()("kube-resource-api/kube/KubeApi") {}

/** Over HTTP, with timeouts. */
export const layerOptions = (options: KubeApiOptions): Layer.Layer<KubeApi, never, KubeHttp> =>
  Layer.effect(KubeApi, make(options))

/** Over HTTP. */
export const layer: Layer.Layer<KubeApi, never, KubeHttp> = layerOptions({})
