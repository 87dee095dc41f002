import { Cause, Clock, Context, Effect, Option, Tracer } from "effect"
import { HttpServerError, HttpServerRequest, HttpServerResponse, HttpTraceContext } from "effect/http"
import { NodeHttpServerRequest } from "@effect/platform-node"
import type { Scope } from "effect"
import { HeaderFieldsTooLarge, UnknownEndpoint, UriTooLong } from "../contract/Problems.ts"
import { ClientIdentity } from "../identity/Identity.ts"
import { type Code, codeOf, errorOf, Internal, respond } from "./ErrorResponse.ts"
import { Lifecycle } from "./Lifecycle.ts"
import { RequestContext, unmatched } from "../identity/RequestContext.ts"
import { headerBytes, malformation, type RequestLimits } from "./RequestForm.ts"
import { requestId } from "./RequestId.ts"
import { clientGone, RequestObserver, unobserved } from "../observability/RequestObserver.ts"
import { routableTarget } from "./RequestTarget.ts"

/** The span of the caller that the request is a part of, as W3C's `traceparent` names it. */
const callersSpan = ({ headers }: HttpServerRequest.HttpServerRequest): Tracer.AnySpan | undefined =>
  headers["traceparent"] === undefined ? undefined : Option.getOrUndefined(HttpTraceContext.w3c(headers))

const bodyBytes = ({ body }: HttpServerResponse.HttpServerResponse): number =>
  body._tag === "Uint8Array" ? body.contentLength : 0

/**
 * The whole application: checks what can be checked before routing, tells who asks, routes, and turns whatever goes
 * wrong, a defect included, into the contract's problem. Every response leaves with its `X-Request-Id`.
 */
export const make = <E>(
  routes: Effect.Effect<HttpServerResponse.HttpServerResponse, E, HttpServerRequest.HttpServerRequest | Scope.Scope>,
  limits: RequestLimits
): Effect.Effect<
  Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest | Scope.Scope>,
  never,
  ClientIdentity | Lifecycle
> =>
  Effect.gen(function* () {
    const identities = yield* ClientIdentity
    const lifecycle = yield* Lifecycle
    const observer = yield* RequestObserver
    const isObserved = observer !== unobserved

    const refusal = (targetBytes: number, fieldBytes: number) => {
      if (targetBytes > limits.maxTargetBytes) {
        return new UriTooLong({ detail: `The request target is longer than ${limits.maxTargetBytes} bytes.` })
      }
      if (fieldBytes > limits.maxHeaderBytes) {
        return new HeaderFieldsTooLarge({ detail: `The header block is longer than ${limits.maxHeaderBytes} bytes.` })
      }
      return undefined
    }

    const recover = (cause: Cause.Cause<E>, id: string) => {
      for (const reason of cause.reasons) {
        if (
          Cause.isFailReason(reason) &&
          HttpServerError.isHttpServerError(reason.error) &&
          reason.error.reason._tag === "RouteNotFound"
        ) {
          return Effect.succeed(
            respond(new UnknownEndpoint({ detail: "There is no such endpoint, or it does not take this method." }), id)
          )
        }
      }
      return Effect.logError("A request ended in a defect", cause).pipe(
        Effect.annotateLogs({ requestId: id }),
        Effect.as(respond(new Internal(), id))
      )
    }

    return Effect.contextWith((context: Context.Context<HttpServerRequest.HttpServerRequest>) => {
      const clock = Context.get(context, Clock.Clock)
      const request = Context.get(context, HttpServerRequest.HttpServerRequest)
      const receivedAt = clock.currentTimeMillisUnsafe()
      const startedAt = isObserved ? clock.currentTimeNanosUnsafe() : 0n
      const incoming = NodeHttpServerRequest.toIncomingMessage(request)
      const targetBytes = (incoming.url ?? "").length
      const fieldBytes = headerBytes(incoming.rawHeaders)
      const id = requestId(request.headers["x-request-id"])
      const identity = identities.of(incoming.socket, receivedAt)
      const matched = unmatched()
      observer.received()
      const span = Context.getOrUndefined(context, Tracer.ParentSpan) ?? callersSpan(request)
      const completed = (status: number, code: Code | undefined, responseBytes: number) => {
        if (!isObserved) return
        if (span?._tag === "Span") {
          span.attribute("http.request.header.x-request-id", id)
          if (identity !== undefined) span.attribute("enduser.id", identity.user)
        }
        observer.completed({
          id,
          identity,
          remoteAddress: identity === undefined ? incoming.socket.remoteAddress : undefined,
          method: request.method,
          target: request.url,
          route: matched.route,
          params: matched.params,
          status,
          code,
          receivedAt,
          durationMillis: Number(clock.currentTimeNanosUnsafe() - startedAt) / 1e6,
          requestBytes: targetBytes + fieldBytes,
          responseBytes,
          traceId: span?.traceId
        })
      }
      const finish = (response: HttpServerResponse.HttpServerResponse) => {
        const error = response.status < 400 ? undefined : errorOf(response)
        completed(response.status, error && codeOf(error), request.method === "HEAD" ? 0 : bodyBytes(response))
        return HttpServerResponse.setHeaders(
          response,
          // Clients on kept-alive connections are told to go elsewhere before the port closes, and to come again with a
          // new handshake once the connection's own no longer holds.
          lifecycle.isShuttingDown() || (identity === undefined && identities.isOutdated(incoming.socket))
            ? { "x-request-id": id, connection: "close" }
            : { "x-request-id": id }
        )
      }
      const refused = refusal(targetBytes, fieldBytes)
      if (refused !== undefined) return Effect.succeed(finish(respond(refused, id)))
      const target = routableTarget(request.url)
      return routes.pipe(
        Effect.provideService(RequestContext, {
          id,
          identity,
          receivedAt,
          malformed: malformation(incoming, limits),
          matched
        }),
        // Where requests make no spans of their own, what is asked of the cluster is still part of the caller's trace.
        span?._tag === "ExternalSpan" ? Effect.provideService(Tracer.ParentSpan, span) : (routed) => routed,
        target === request.url
          ? (routed) => routed
          : Effect.provideService(HttpServerRequest.HttpServerRequest, request.modify({ url: target })),
        Effect.matchCauseEffect({
          onSuccess: (response) => Effect.succeed(finish(response)),
          onFailure: (cause) => {
            // Nobody is left to answer, and it is no defect.
            if (Cause.hasInterruptsOnly(cause)) {
              completed(clientGone, undefined, 0)
              return Effect.failCause(Cause.map(cause, () => new Internal()))
            }
            return Effect.map(recover(cause, id), finish)
          }
        })
      )
    }).pipe(Effect.orDie)
  })
