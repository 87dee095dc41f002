/**
 * Serves the requests of the embedded cluster: faults, then authentication, authorization and the resource, in the
 * order of kube-apiserver's filters.
 *
 * One file: every verb that the embedded API server serves.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import { Cause, Clock, Duration, Effect, Schema } from "effect"
import {
  AccessReviewBody,
  accessReviewJson,
  type AccessReviewSpec,
  type DecideAccess,
  permits,
  type RbacRule
} from "./Access.ts"
import type { ClusterStore } from "./ClusterStore.ts"
import type { FaultSwitches } from "./Faults.ts"
import { objectJson, scaleJson } from "./KubeObjects.ts"
import { type KubeRoute, parseRoute } from "./KubeRoute.ts"
import { KubeStatus, notFound, statusOf } from "./KubeStatus.ts"
import { listPage } from "./ListPage.ts"
import { OpenWatch, type WatchPlan } from "./OpenWatch.ts"
import type { RequestRecorder } from "./RecordedRequests.ts"
import { decodeCreation, readBody, type RecordedEvent, recordEvent } from "./RequestBody.ts"
import { writeChunks } from "./ResponseBody.ts"
import { writeScale } from "./ScaleWrite.ts"
import { startWatch } from "./WatchStart.ts"
import { json } from "./wire/JsonEncoding.ts"
import { encodingsOf, negotiate } from "./wire/Negotiation.ts"
import type { BodyChunk, ObjectEncoding } from "./wire/ObjectEncoding.ts"

/** The state that requests are served from. Fields without `readonly` may change while the server runs. */
export interface KubeBackend {
  readonly store: ClusterStore
  readonly switches: FaultSwitches
  readonly log: RequestRecorder
  readonly events: Array<RecordedEvent>
  readonly accessQuestions: Array<AccessReviewSpec>
  decideAccess: DecideAccess
  /** Undefined: every authenticated user may do everything. */
  rules: ReadonlyArray<RbacRule> | undefined
  readonly bookmarkInterval: Duration.Duration
  readonly streamingLists: boolean
  readonly maxPageSize: number
  readonly protobuf: boolean
  /** The user of a request; undefined without valid credentials. */
  readonly authenticate: (request: IncomingMessage) => string | undefined
  /** Called after a change of the set of open watches. */
  readonly watchesChanged: () => void
}

type Reply =
  | { readonly _tag: "Json"; readonly status: number; readonly body: string }
  | { readonly _tag: "List"; readonly chunks: Iterable<BodyChunk>; readonly items: number }
  | { readonly _tag: "Watch"; readonly plan: WatchPlan }
  | { readonly _tag: "GoneWatch"; readonly gone: KubeStatus }

const keptRecords = 10_000

const jsonReply = (status: number, body: string): Reply => ({ _tag: "Json", status, body })

const version = jsonReply(
  200,
  JSON.stringify({ major: "1", minor: "35", gitVersion: "v1.35.0+embedded", platform: "linux/amd64" })
)

const forbidden = (user: string, route: KubeRoute): KubeStatus => {
  // The message names the resource alone, even if its subresource was denied.
  const plural = route.resource.split("/")[0] ?? ""
  const resource = route.group === "" ? plural : `${plural}.${route.group}`
  const name = "name" in route.target ? route.target.name : ""
  const scope = route.namespace === undefined ? "at the cluster scope" : `in the namespace "${route.namespace}"`
  return statusOf(
    403,
    `${resource}${name === "" ? "" : ` ${JSON.stringify(name)}`} is forbidden: User ${JSON.stringify(user)} cannot ` +
      `${route.verb} resource "${route.resource}" in API group "${route.group}" ${scope}`,
    {
      ...(name === "" ? {} : { name }),
      ...(route.group === "" ? {} : { group: route.group }),
      kind: plural
    }
  )
}

const decodeReview = Schema.decodeUnknownEffect(AccessReviewBody)

const keep = <A>(records: Array<A>, record: A): void => {
  records.push(record)
  if (records.length > keptRecords) records.shift()
}

const review = Effect.fnUntraced(function* (backend: KubeBackend, request: IncomingMessage) {
  const body = yield* readBody(request)
  const { spec } = yield* decodeReview(body).pipe(
    Effect.mapError((error) =>
      statusOf(400, `SubjectAccessReview in version "v1" cannot be handled as a SubjectAccessReview: ${error.message}`)
    )
  )
  if ((spec.resourceAttributes === undefined) === (spec.nonResourceAttributes === undefined)) {
    return yield* statusOf(
      422,
      `SubjectAccessReview.authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: ` +
        `exactly one of nonResourceAttributes or resourceAttributes must be specified`
    )
  }
  keep(backend.accessQuestions, spec)
  return jsonReply(201, accessReviewJson(spec, backend.decideAccess(spec)))
})

const create = Effect.fnUntraced(function* (
  store: ClusterStore,
  request: IncomingMessage,
  { namespace, resource }: Extract<KubeRoute["target"], { readonly _tag: "Collection" }>
): Effect.fn.Return<Reply, KubeStatus> {
  const { name, replicas } = yield* decodeCreation(resource, yield* readBody(request))
  const now = yield* Clock.currentTimeMillis
  const exists = (group: string) =>
    new KubeStatus({
      code: 409,
      reason: "AlreadyExists",
      message: `${resource}${group === "" ? "" : `.${group}`} ${JSON.stringify(name)} already exists`,
      details: { name, kind: resource, ...(group === "" ? {} : { group }) }
    })
  if (resource === "namespaces") {
    if (store.getNamespace(name) !== undefined) return yield* exists("")
    return jsonReply(201, objectJson(store.putNamespace(name, now), false))
  }
  if (namespace === undefined)
    return yield* statusOf(405, "the server does not allow this method on the requested resource")
  if (store.getNamespace(namespace) === undefined) return yield* notFound("namespaces", "", namespace)
  if (store.getDeployment(namespace, name) !== undefined) return yield* exists("apps")
  return jsonReply(201, objectJson(store.putDeployment(namespace, name, replicas, now), false))
})

const serveTarget = Effect.fnUntraced(function* (
  backend: KubeBackend,
  request: IncomingMessage,
  route: KubeRoute,
  encoding: ObjectEncoding
): Effect.fn.Return<Reply, KubeStatus> {
  const { store, switches } = backend
  const { target, verb, query } = route
  switch (target._tag) {
    case "Version":
      return version
    case "Health":
      return jsonReply(200, "ok")
    case "Collection": {
      if (verb === "create") return yield* create(store, request, target)
      if (verb === "watch") {
        const start = yield* startWatch(store, target.resource, target.namespace, query, backend, switches.quirks)
        return start._tag === "Serve" ? { _tag: "Watch", plan: start.plan } : { _tag: "GoneWatch", gone: start.gone }
      }
      const page = yield* listPage(
        store,
        target.resource,
        target.namespace,
        query,
        backend.maxPageSize,
        switches.quirks,
        encoding
      )
      return { _tag: "List", ...page }
    }
    case "Namespace": {
      const namespace = store.getNamespace(target.name)
      if (namespace === undefined) return yield* notFound("namespaces", "", target.name)
      if (verb === "delete") store.removeNamespace(target.name)
      return jsonReply(200, objectJson(namespace, false))
    }
    case "Deployment": {
      const deployment = store.getDeployment(target.namespace, target.name)
      if (deployment === undefined) return yield* notFound("deployments", "apps", target.name)
      if (verb === "delete") store.removeDeployment(target.namespace, target.name)
      return jsonReply(200, objectJson(deployment, false))
    }
    case "Scale": {
      if (verb === "patch" || verb === "update") {
        return jsonReply(200, scaleJson(yield* writeScale(backend, request, query, target, verb)))
      }
      const deployment = store.getDeployment(target.namespace, target.name)
      return deployment === undefined
        ? yield* notFound("deployments", "apps", target.name)
        : jsonReply(200, scaleJson(deployment))
    }
    case "Events": {
      const body = yield* readBody(request)
      if (store.getNamespace(target.namespace) === undefined) {
        return yield* notFound("namespaces", "", target.namespace)
      }
      const event = yield* recordEvent(target.group, target.namespace, body, store.next())
      keep(backend.events, event)
      return jsonReply(201, JSON.stringify(event.object))
    }
    case "AccessReview":
      return yield* review(backend, request)
  }
})

const decide = Effect.fnUntraced(function* (
  backend: KubeBackend,
  request: IncomingMessage,
  route: ReturnType<typeof parseRoute>,
  encoding: ObjectEncoding | undefined
): Effect.fn.Return<Reply, KubeStatus> {
  const { switches } = backend
  if (typeof route !== "string") {
    const failure = switches.takeFailure(route.resource, route.verb)
    if (failure !== undefined) {
      const { retryAfter, status } = failure
      return yield* statusOf(
        status,
        `scripted failure ${status}`,
        retryAfter === undefined ? undefined : { retryAfterSeconds: retryAfter }
      )
    }
  }
  const open = typeof route !== "string" && (route.target._tag === "Health" || route.target._tag === "Version")
  const user = backend.authenticate(request)
  if (user === undefined && !open) return yield* statusOf(401, "Unauthorized")
  if (route === "unknown-path") return yield* statusOf(404, "the server could not find the requested resource", {})
  if (route === "unknown-method") {
    return yield* statusOf(405, "the server does not allow this method on the requested resource", {})
  }
  if (
    switches.isDenied(route.resource, route.verb) ||
    (!open && backend.rules !== undefined && !permits(backend.rules, route))
  )
    return yield* forbidden(user ?? "system:anonymous", route)
  if (encoding === undefined && !open) {
    const accepted = encodingsOf(route.verb, backend.protobuf).map(({ contentType }) => contentType)
    return yield* statusOf(406, `only the following media types are accepted: ${accepted.join(", ")}`)
  }
  return yield* serveTarget(backend, request, route, encoding ?? json)
})

const endWith = (response: ServerResponse, status: KubeStatus, encoding: ObjectEncoding): Effect.Effect<void> =>
  Effect.sync(() => {
    const retryAfter = status.details?.retryAfterSeconds
    if (retryAfter !== undefined) response.setHeader("retry-after", String(retryAfter))
    response.statusCode = status.code
    response.end(encoding.status(status))
  })

const serveWatch = (
  backend: KubeBackend,
  response: ServerResponse,
  plan: WatchPlan,
  encoding: ObjectEncoding
): Effect.Effect<void> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      response.flushHeaders()
      const watch = new OpenWatch(plan, backend.store, response, encoding)
      backend.switches.watches.add(watch)
      backend.watchesChanged()
      if (backend.switches.closeNewWatches) watch.inject("close")
      return watch
    }),
    (watch) => watch.serve,
    (watch) =>
      Effect.sync(() => {
        backend.switches.watches.delete(watch)
        backend.watchesChanged()
      })
  )

/** Serves a request to the end of its response. The caller interrupts it when the connection is lost. */
export const serveRequest = Effect.fnUntraced(function* (
  backend: KubeBackend,
  request: IncomingMessage,
  response: ServerResponse
) {
  const { switches, log } = backend
  const method = request.method ?? "GET"
  const path = request.url ?? "/"
  const route = parseRoute(method, path)
  const known = typeof route === "string" ? undefined : route
  const answered = log.add({
    method,
    path,
    query: known?.query ?? new URLSearchParams(),
    verb: known?.verb,
    resource: known?.resource ?? "",
    userAgent: request.headers["user-agent"] ?? "",
    traceparent: String(request.headers["traceparent"] ?? "")
  })
  const negotiated = negotiate(request.headers.accept ?? "", known?.verb, encodingsOf(known?.verb, backend.protobuf))
  const encoding = negotiated ?? json
  response.setHeader("content-type", encoding.contentType)
  response.setHeader("cache-control", "no-cache, private")
  yield* switches.answering.await
  if (Duration.isPositive(switches.delay)) yield* Effect.sleep(switches.delay)
  const reply = yield* Effect.match(decide(backend, request, route, negotiated), {
    onFailure: (status) => ({ _tag: "Refused", status }) as const,
    onSuccess: (reply) => reply
  })
  switch (reply._tag) {
    case "Refused":
      answered({ status: reply.status.code })
      return yield* endWith(response, reply.status, encoding)
    case "Json":
      answered({ status: reply.status })
      response.statusCode = reply.status
      response.end(reply.body)
      return undefined
    case "List":
      answered({ status: 200, items: reply.items })
      yield* writeChunks(response, reply.chunks)
      response.end()
      return undefined
    case "GoneWatch":
      answered({ status: 200 })
      response.setHeader("content-type", encoding.watchContentType)
      response.end(encoding.events.error(reply.gone))
      return undefined
    case "Watch":
      answered({ status: 200 })
      response.setHeader("content-type", encoding.watchContentType)
      return yield* serveWatch(backend, response, reply.plan, encoding)
  }
})

/** `serveRequest`, except that a defect is logged and destroys the connection. */
export const serveSafely = (
  backend: KubeBackend,
  request: IncomingMessage,
  response: ServerResponse
): Effect.Effect<void> =>
  serveRequest(backend, request, response).pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : Effect.andThen(
            Effect.logError("the embedded cluster failed to serve a request", cause),
            Effect.sync(() => {
              response.destroy()
            })
          )
    )
  )
