/** Answers requests from the in-memory cluster as the contract specifies. */
import { Effect, Stream, SubscriptionRef } from "effect"
import { HttpClient, type HttpClientError, type HttpClientRequest } from "effect/http"
import { OpenApi } from "effect/http-api"
import { Api, metricsContentType } from "../../contract/Api.ts"
import type { ReplicaCount } from "../../contract/Names.ts"
import { alreadySetField, WriteHeaders, WriteQuery } from "../../contract/Preconditions.ts"
import {
  BadRequest,
  headersOf,
  isProblem,
  membersOf,
  NotFound,
  PreconditionFailed,
  PreconditionRequired,
  type Problem,
  problemContentType,
  UnknownEndpoint
} from "../../contract/Problems.ts"
import {
  acceptsStream,
  malformedTags,
  matchesNone,
  readHeaders,
  streamHeaders,
  waited,
  waitSeconds
} from "../../contract/ReadFields.ts"
import { bodyOf, missing, tagOf, type Target, withCount } from "./ClusterState.ts"
import * as Events from "./Events.ts"
import type { Fault } from "./Faults.ts"
import * as MemoryResponse from "./MemoryResponse.ts"
import * as Routes from "./Routes.ts"

type Cluster = SubscriptionRef.SubscriptionRef<Events.Moment>
type Request = HttpClientRequest.HttpClientRequest
type Answer = Effect.Effect<MemoryResponse.Content, Problem | HttpClientError.HttpClientError>

/** Options of the in-memory cluster. */
export interface Options {
  /** Whether a write without a count in `If-Match` is refused with 428, as a policy can require. */
  readonly requireIfMatch?: boolean
}

/** A request that the cluster received. */
export interface Received {
  readonly endpoint: Routes.EndpointName | undefined
  readonly method: string
  /** The path and the query. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
}

const json = (body: unknown, headers: Readonly<Record<string, string>> = {}): MemoryResponse.Content => ({
  status: 200,
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(body)
})

/** The service's default of `MAX_WAIT`. */
const longestWait = 60

/** Waits for a different tag, at most `seconds`. */
const changedWithin = (cluster: Cluster, target: Target, etag: string, seconds: number) =>
  SubscriptionRef.changes(cluster).pipe(
    Stream.filter(({ namespaces }) => tagOf(namespaces, target) !== etag),
    Stream.runHead,
    Effect.timeoutOption(`${seconds} seconds`)
  )

const gone = (target: Target) => new NotFound({ detail: missing(target) })

const answerRead = (cluster: Cluster, target: Target, { headers }: Request): Answer =>
  Effect.gen(function* () {
    const ifNoneMatch = headers["if-none-match"]
    if (ifNoneMatch !== undefined && matchesNone(ifNoneMatch, "") === undefined) {
      return yield* new BadRequest({ detail: malformedTags })
    }
    const before = tagOf((yield* SubscriptionRef.get(cluster)).namespaces, target)
    if (before === undefined) return yield* gone(target)
    const isMatch = ifNoneMatch !== undefined && matchesNone(ifNoneMatch, before) === true
    const wait = isMatch ? waitSeconds(headers["prefer"], longestWait) : undefined
    if (wait !== undefined) yield* changedWithin(cluster, target, before, wait)
    const { namespaces } = yield* SubscriptionRef.get(cluster)
    const etag = tagOf(namespaces, target)
    if (etag === undefined) return yield* gone(target)
    const fields = { ...readHeaders(etag, 0), ...(wait === undefined ? {} : waited(wait)) }
    return isMatch && etag === before
      ? { status: 304, headers: fields, body: "" }
      : json(bodyOf(namespaces, target), fields)
  })

const answerStream = (cluster: Cluster, target: Target, request: Request): Answer =>
  Effect.gen(function* () {
    const { namespaces } = yield* SubscriptionRef.get(cluster)
    if (tagOf(namespaces, target) === undefined) return yield* gone(target)
    const lost = MemoryResponse.connectionLost(request)
    return {
      status: 200,
      headers: streamHeaders(0),
      body: Events.stream(cluster, target, request.headers["last-event-id"], lost)
    }
  })

const preconditionFailed = (current: ReplicaCount) =>
  new PreconditionFailed({ detail: `The desired count is ${current}.`, current })

const answerWrite = (
  cluster: Cluster,
  { deployment, namespace, replica_count }: Routes.Write,
  { headers }: Request,
  query: URLSearchParams,
  { requireIfMatch = false }: Options
): Answer =>
  Effect.gen(function* () {
    const conditions = yield* Effect.fromResult(Routes.decoded(WriteHeaders, headers))
    const repeated = [...new Set(query.keys())].map((name) => [name, query.getAll(name)] as const)
    const given = Object.fromEntries(repeated.map(([name, all]) => [name, all.length === 1 ? all[0] : all]))
    const { dryRun } = yield* Effect.fromResult(Routes.decoded(WriteQuery, given, true))
    const expected = conditions["if-match"]
    if (requireIfMatch && (expected === undefined || expected === "*")) {
      return yield* new PreconditionRequired({
        detail: "The count may be set only with If-Match and the count that it replaces."
      })
    }
    const isOther = (current: ReplicaCount) => expected !== undefined && expected !== "*" && expected !== current
    type Outcome = readonly [Problem | MemoryResponse.Content, Events.Moment]
    const outcome = yield* SubscriptionRef.modify(cluster, (now): Outcome => {
      const current = now.namespaces.get(namespace)?.get(deployment)
      if (current === undefined) return [gone({ _tag: "Counts", namespace, deployment }), now]
      if (current === replica_count) return [json({}, isOther(current) ? { [alreadySetField]: "true" } : {}), now]
      if (isOther(current)) return [preconditionFailed(current), now]
      if (dryRun !== undefined) return [json({}), now]
      const namespaces = withCount(now.namespaces, namespace, deployment, replica_count)
      return [json({}), { ...now, namespaces, version: now.version + 1 }]
    })
    return isProblem(outcome) ? yield* Effect.fail(outcome) : outcome
  })

const answerService = (endpoint: Routes.EndpointName): MemoryResponse.Content => {
  if (endpoint === "openapi") return json(OpenApi.fromApi(Api))
  return endpoint === "metrics" ? { status: 200, headers: { "content-type": metricsContentType }, body: "" } : json({})
}

const answer = (
  cluster: Cluster,
  found: Routes.Found | undefined,
  request: Request,
  url: URL,
  options: Options
): Answer =>
  Effect.gen(function* () {
    if (found === undefined) {
      return yield* new UnknownEndpoint({ detail: "There is no such endpoint, or it does not take this method." })
    }
    const route = yield* Effect.fromResult(found.route)
    switch (route._tag) {
      case "Read":
        return yield* wantsStream(request)
          ? answerStream(cluster, route.target, request)
          : answerRead(cluster, route.target, request)
      case "Write":
        return yield* answerWrite(cluster, route.write, request, url.searchParams, options)
      case "Service":
        return answerService(found.endpoint)
    }
  })

const wantsStream = ({ headers }: Request): boolean => acceptsStream(headers["accept"])

const suffer = (fault: Fault, request: Request): Effect.Effect<void, Problem | HttpClientError.HttpClientError> => {
  switch (fault._tag) {
    case "Delayed":
      return Effect.sleep(fault.duration)
    case "Refused":
      return Effect.fail(fault.problem)
    case "Disconnected":
      return Effect.fail(MemoryResponse.connectionLost(request))
  }
}

const refusal = (problem: Problem, id: string): MemoryResponse.Content => ({
  status: problem.status,
  headers: { ...headersOf(problem), "content-type": problemContentType },
  body: JSON.stringify(membersOf(problem, problem.detail, id))
})

/** The client of the cluster. `faultsOf` takes the faults of a request, `received` records it. */
export const client = (
  cluster: Cluster,
  options: Options,
  faultsOf: (endpoint: Routes.EndpointName | undefined) => Effect.Effect<ReadonlyArray<Fault>>,
  received: (request: Received) => Effect.Effect<void>
): HttpClient.HttpClient =>
  HttpClient.make((request, url) =>
    Effect.gen(function* () {
      const found = Routes.find(request.method, url.pathname)
      const endpoint = wantsStream(request) ? (found?.stream ?? found?.endpoint) : found?.endpoint
      const id = request.headers["x-request-id"] ?? "test"
      yield* received({
        endpoint,
        method: request.method,
        target: `${url.pathname}${url.search}`,
        headers: { ...request.headers }
      })
      const suffered = Effect.forEach(yield* faultsOf(endpoint), (fault) => suffer(fault, request), { discard: true })
      const content = yield* Effect.andThen(suffered, answer(cluster, found, request, url, options)).pipe(
        Effect.catchIf(isProblem, (problem) => Effect.succeed(refusal(problem, id)))
      )
      return MemoryResponse.make(request, { ...content, headers: { "x-request-id": id, ...content.headers } })
    })
  )
