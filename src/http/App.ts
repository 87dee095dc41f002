import { Cause, Clock, Context, Effect, Exit, Option, type Scope, Tracer } from "effect"
import { HttpServerError, HttpServerRequest, type HttpServerResponse, HttpTraceContext } from "effect/http"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { HeaderFieldsTooLarge, type Problem, UnknownEndpoint, UriTooLong } from "../contract/Problems.ts"
import { ClientIdentity } from "../identity/Identity.ts"
import { RequestContext } from "../identity/RequestContext.ts"
import { RequestObserver } from "../observability/RequestObserver.ts"
import { asksToHold } from "./Conditions.ts"
import * as Completion from "./Completion.ts"
import { headerBytes, requestId, type RequestLimits, routableTarget } from "./RequestForm.ts"

/** The error of a path or method that no endpoint serves. */
export const unknownEndpoint = new UnknownEndpoint({
  detail: "There is no such endpoint, or it does not take this method."
})

/** The caller's span, as W3C's `traceparent` names it. */
const callersSpan = ({ headers }: HttpServerRequest.HttpServerRequest): Tracer.AnySpan | undefined =>
  headers["traceparent"] === undefined ? undefined : Option.getOrUndefined(HttpTraceContext.w3c(headers))

const tooLarge = (targetBytes: number, fieldBytes: number, limits: RequestLimits): Problem | undefined => {
  if (targetBytes > limits.maxTargetBytes) {
    return new UriTooLong({ detail: `The request target is longer than ${limits.maxTargetBytes} bytes.` })
  }
  return fieldBytes > limits.maxHeaderBytes
    ? new HeaderFieldsTooLarge({ detail: `The header block is longer than ${limits.maxHeaderBytes} bytes.` })
    : undefined
}

const isUnrouted = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.some(
    (reason) =>
      Cause.isFailReason(reason) &&
      HttpServerError.isHttpServerError(reason.error) &&
      reason.error.reason._tag === "RouteNotFound"
  )

/**
 * The whole application: checks the sizes that can be checked before routing, identifies the caller, and routes.
 * Endpoints complete their own requests; a request that reaches no endpoint is completed here.
 */
export const make = <E>(
  routes: Effect.Effect<HttpServerResponse.HttpServerResponse, E, HttpServerRequest.HttpServerRequest | Scope.Scope>,
  limits: RequestLimits
) =>
  Effect.gen(function* () {
    const identities = yield* ClientIdentity
    const observer = yield* RequestObserver
    const complete = yield* Completion.make
    const clock = yield* Clock.Clock

    const contextOf = (request: HttpServerRequest.HttpServerRequest, span: Tracer.AnySpan | undefined) => {
      const { headers, rawHeaders, socket, url = "" } = NodeHttpServerRequest.toIncomingMessage(request)
      const receivedAt = clock.currentTimeMillisUnsafe()
      const identity = identities.of(socket, receivedAt)
      const fieldBytes = headerBytes(rawHeaders)
      const context: RequestContext = {
        id: requestId(request.headers["x-request-id"]),
        identity,
        remoteAddress: socket.remoteAddress,
        method: request.method,
        target: request.url,
        receivedAt,
        startedNanos: clock.currentTimeNanosUnsafe(),
        requestBytes: url.length + fieldBytes,
        traceId: span?.traceId,
        asksToHold: asksToHold(headers),
        isOutdated: identity === undefined && identities.isOutdated(socket)
      }
      return { context, refused: tooLarge(url.length, fieldBytes, limits) }
    }

    return Effect.contextWith((services: Context.Context<HttpServerRequest.HttpServerRequest>) => {
      const request = Context.get(services, HttpServerRequest.HttpServerRequest)
      const span = Context.getOrUndefined(services, Tracer.ParentSpan) ?? callersSpan(request)
      const { context, refused } = contextOf(request, span)
      observer.received()
      if (span?._tag === "Span") {
        span.attribute("http.request.header.x-request-id", context.id)
        if (context.identity !== undefined) span.attribute("enduser.id", context.identity.user)
      }
      if (refused !== undefined) return complete(Exit.fail(refused), context, Completion.unmatched)
      const target = routableTarget(request.url)
      return routes.pipe(
        Effect.provideService(RequestContext, context),
        // Without spans of this service, its requests to the cluster still belong to the caller's trace.
        span?._tag === "ExternalSpan" ? Effect.provideService(Tracer.ParentSpan, span) : (routed) => routed,
        target === request.url
          ? (routed) => routed
          : Effect.provideService(HttpServerRequest.HttpServerRequest, request.modify({ url: target })),
        Effect.catchCauseIf(
          // Only an endpoint can be interrupted, and it has completed its request.
          (cause) => !Cause.hasInterruptsOnly(cause),
          (cause) =>
            complete(
              isUnrouted(cause) ? Exit.fail(unknownEndpoint) : Exit.failCause(cause),
              context,
              Completion.unmatched
            )
        )
      )
    })
  })
