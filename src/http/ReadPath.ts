import { Clock, Effect } from "effect"
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http"
import type { Body } from "../cache/Body.ts"
import { ClusterCache } from "../cache/ClusterCache.ts"
import { Authorization } from "../authorization/Authorization.ts"
import { ClientIdentity, type Identity } from "../identity/Identity.ts"
import { RateLimit } from "../limits/RateLimit.ts"
import type { ResponseBytes } from "../limits/ResponseBytes.ts"
import { Lifecycle } from "./Lifecycle.ts"
import * as ReadTargets from "./ReadTargets.ts"
import { acceptsStream, matchesNone, readHeaders, streamHeaders, waited, waitSeconds } from "../contract/ReadFields.ts"
import { resumption } from "./Conditions.ts"
import * as ErrorResponse from "./ErrorResponse.ts"
import { isCutOff, sendHead } from "./held/EventStream.ts"
import type { HeldResponses } from "./held/HeldResponses.ts"
import { headerBytes, malformation, requestId, type RequestLimits } from "./RequestForm.ts"
import { type Code, NotFound, type Problem, problemContentType } from "../contract/Problems.ts"
import { clientGone, type CompletedRequest, RequestObserver } from "../observability/RequestObserver.ts"

/** A read that is being answered. */
interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly identity: Identity
  readonly target: ReadTargets.ReadTarget
  readonly id: string
  readonly receivedAt: number
  readonly started: number
  readonly requestBytes: number
  readonly held: CompletedRequest["held"]
}

/**
 * Answers a read from memory alone: a plainly spelled target, an identified caller that is known to be permitted, a
 * token in its bucket, a rendered body. If anything is missing it does nothing and returns `false`; the routes then
 * take the request.
 *
 * A differential test compares its responses with those of the routes.
 */
export const make = Effect.fnUntraced(function* (
  limits: RequestLimits,
  responseBytes: ResponseBytes["Service"],
  held: HeldResponses["Service"]
) {
  const authorization = yield* Authorization
  const cache = yield* ClusterCache
  const clock = yield* Clock.Clock
  const identities = yield* ClientIdentity
  const lifecycle = yield* Lifecycle
  const observer = yield* RequestObserver
  const rates = yield* RateLimit
  const targetOf = ReadTargets.remembering()

  /** Sends the head and the body, and notifies the observer. */
  const send = (call: Call, status: number, headers: OutgoingHttpHeaders, body: Body, code?: Code) => {
    const { response } = call
    response.writeHead(status, lifecycle.isShuttingDown() ? { ...headers, connection: "close" } : headers)
    response.end(body, "latin1")
    complete(call, status, body.length, code)
  }

  const complete = (call: Call, status: number, responseBytes: number, code?: Code) => {
    const { held, id, identity, receivedAt, request, requestBytes, started, target } = call
    observer.completed({
      id,
      identity,
      remoteAddress: undefined,
      method: "GET",
      target: request.url ?? "",
      route: target.route,
      params: target.params,
      status,
      code,
      receivedAt,
      durationMillis: performance.now() - started,
      requestBytes,
      responseBytes,
      traceId: undefined,
      held
    })
  }

  /** Takes the token of a request that the read path answers. */
  const begin = ({ identity, receivedAt }: Call): true => {
    rates.take("reads", identity.user, receivedAt)
    observer.received()
    return true
  }

  const sendProblem = (call: Call, problem: Problem) => {
    const { body, headers, status } = ErrorResponse.render(problem, call.id)
    send(
      call,
      status,
      { ...headers, "content-type": problemContentType, "content-length": Buffer.byteLength(body) },
      body,
      problem.code
    )
  }

  const bodyHeaders = (call: Call, etag: string, body: Body) => ({
    ...readHeaders(etag, cache.age()),
    "content-type": "application/json",
    "content-length": String(body.length),
    "x-request-id": call.id
  })

  const sendUnchanged = (call: Call, etag: string, applied?: OutgoingHttpHeaders): true => {
    send(call, 304, { ...readHeaders(etag, cache.age()), ...applied, "x-request-id": call.id }, "")
    return true
  }

  /** Answers a read that has waited. */
  const sendWaited = (call: Call, etag: string, seconds: number): void => {
    const { identity, response, target } = call
    const { find, missing, tag } = target.read
    const view = cache.current()
    const current = tag(view)
    if (current === etag) return void sendUnchanged(call, etag, waited(seconds))
    const body = find(view)
    if (current === undefined || body === undefined) return sendProblem(call, new NotFound({ detail: missing() }))
    if (typeof body !== "string" && !responseBytes.take(response, identity.user, body.length)) {
      return sendProblem(call, responseBytes.refuse())
    }
    return send(call, 200, { ...bodyHeaders(call, current, body), ...waited(seconds) }, body)
  }

  /** Returns `false` if there is no place. */
  const wait = (call: Call, etag: string, seconds: number): boolean => {
    const { identity, request, response, target } = call
    const cancel = held.wait({ request, response, identity, read: target.read }, etag, seconds, (problem) => {
      if (problem === undefined) sendWaited(call, etag, seconds)
      else sendProblem(call, problem)
    })
    if (typeof cancel !== "function") return false
    response.once("close", () => {
      if (response.writableEnded) return
      cancel()
      complete(call, clientGone, 0)
    })
    return true
  }

  /** Returns `false` if there is no place. */
  const stream = (call: Call): boolean => {
    const { id, identity, request, response, target } = call
    const started = held.stream(
      { request, response, identity, read: target.read },
      resumption(request.headers),
      () => sendHead(response, { ...streamHeaders(cache.age()), "x-request-id": id }),
      (end, bytes) => complete(call, isCutOff(end) ? clientGone : 200, bytes)
    )
    return typeof started === "function"
  }

  const answer = (request: IncomingMessage, response: ServerResponse): boolean => {
    if (request.method !== "GET" || request.url === undefined || request.url.length > limits.maxTargetBytes)
      return false
    const target = targetOf(request.url)
    if (target === undefined || !cache.isSynced() || lifecycle.isShuttingDown()) return false
    const now = clock.currentTimeMillisUnsafe()
    const started = performance.now()
    const identity = identities.of(request.socket, now)
    const { headers, rawHeaders } = request
    const fieldBytes = headerBytes(rawHeaders)
    if (
      identity === undefined ||
      fieldBytes > limits.maxHeaderBytes ||
      // The routes follow a body to its end, and make spans for a trace.
      headers["content-length"] !== undefined ||
      headers["transfer-encoding"] !== undefined ||
      headers["traceparent"] !== undefined ||
      malformation(request, limits) !== undefined
    ) {
      return false
    }
    const view = cache.current()
    const { access, find, tag } = target.read
    const etag = tag(view)
    if (
      etag === undefined ||
      !rates.has("reads", identity.user, now) ||
      !authorization.alreadyAllows(identity, access, now)
    ) {
      return false
    }
    const isStream = acceptsStream(headers.accept)
    const ifNoneMatch = headers["if-none-match"]
    const isUnchanged = ifNoneMatch === undefined || isStream ? false : matchesNone(ifNoneMatch, etag)
    if (isUnchanged === undefined) return false
    const call: Call = {
      request,
      response,
      identity,
      target,
      id: requestId(headers["x-request-id"]),
      receivedAt: now,
      started,
      requestBytes: request.url.length + fieldBytes,
      held: undefined
    }
    if (isStream) return stream({ ...call, held: "stream" }) && begin(call)
    if (isUnchanged) {
      const seconds = waitSeconds(headers["prefer"], held.maxWaitSeconds)
      if (seconds === undefined) {
        begin(call)
        return sendUnchanged(call, etag)
      }
      const waiting: Call = { ...call, held: "wait" }
      if (seconds > 0) return wait(waiting, etag, seconds) && begin(call)
      begin(call)
      return sendUnchanged(waiting, etag, waited(seconds))
    }
    const body = find(view)
    if (body === undefined) return false
    if (typeof body !== "string" && !responseBytes.take(response, identity.user, body.length)) return false
    begin(call)
    response.writeHead(200, bodyHeaders(call, etag, body))
    // Every body of the cache is ASCII: Latin-1 copies it, UTF-8 would inspect it first.
    response.end(body, "latin1")
    complete(call, 200, body.length)
    return true
  }

  return (request: IncomingMessage, response: ServerResponse): boolean => {
    try {
      return answer(request, response)
    } catch (defect) {
      // The routes meet the defect again, log it and answer 500. Once the head has left, the response can only be cut off.
      if (!response.headersSent) return false
      response.destroy(defect instanceof Error ? defect : undefined)
      return true
    }
  }
})
