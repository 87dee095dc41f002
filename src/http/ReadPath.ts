import { Clock, Effect } from "effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import { ClusterCache } from "../cache/ClusterCache.ts"
import { Authorization } from "../authorization/Authorization.ts"
import { ClientIdentity } from "../identity/Identity.ts"
import { RateLimit } from "../limits/RateLimit.ts"
import type { ResponseBytes } from "../limits/ResponseBytes.ts"
import { Lifecycle } from "./Lifecycle.ts"
import * as ReadTargets from "./ReadTargets.ts"
import { headerBytes, malformation, requestId, type RequestLimits } from "./RequestForm.ts"
import { RequestObserver } from "../observability/RequestObserver.ts"

/**
 * Answers a read from memory alone: a plainly spelled target, an identified caller that is known to be permitted, a
 * token in its bucket, a rendered body. If anything is missing it does nothing and returns `false`; the routes then
 * take the request.
 *
 * A differential test compares its responses with those of the routes.
 */
export const make = Effect.fnUntraced(function* (limits: RequestLimits, responseBytes: ResponseBytes["Service"]) {
  const authorization = yield* Authorization
  const cache = yield* ClusterCache
  const clock = yield* Clock.Clock
  const identities = yield* ClientIdentity
  const lifecycle = yield* Lifecycle
  const observer = yield* RequestObserver
  const rates = yield* RateLimit
  const targetOf = ReadTargets.remembering()

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
    const body = target.read.find(cache.current())
    if (
      body === undefined ||
      !rates.has("reads", identity.user, now) ||
      !authorization.alreadyAllows(identity, target.read.access, now) ||
      (typeof body !== "string" && !responseBytes.take(response, identity.user, body.length))
    ) {
      return false
    }
    rates.take("reads", identity.user, now)
    const id = requestId(headers["x-request-id"])
    response.writeHead(200, {
      age: String(cache.age()),
      "content-type": "application/json",
      "content-length": String(body.length),
      "x-request-id": id
    })
    // Every body of the cache is ASCII: Latin-1 copies it, UTF-8 would inspect it first.
    response.end(body, "latin1")
    observer.received()
    observer.completed({
      id,
      identity,
      remoteAddress: undefined,
      method: "GET",
      target: request.url,
      route: target.route,
      params: target.params,
      status: 200,
      code: undefined,
      receivedAt: now,
      durationMillis: performance.now() - started,
      requestBytes: request.url.length + fieldBytes,
      responseBytes: body.length,
      traceId: undefined
    })
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
