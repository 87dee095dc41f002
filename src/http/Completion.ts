/** Turns the result of a request into its response. Log and metrics receive an error as a value. */
import { Cause, Clock, Context, Effect, Exit, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { eventStream } from "../contract/ReadFields.ts"
import { Completed } from "../contract/Middleware.ts"
import { Internal, isProblem, type Problem } from "../contract/Problems.ts"
import { RequestContext } from "../identity/RequestContext.ts"
import { clientGone, type CompletedRequest, RequestObserver } from "../observability/RequestObserver.ts"
import { toResponse } from "./ErrorResponse.ts"
import { Lifecycle } from "./Lifecycle.ts"

/** An endpoint as its path template, and the parameters that the router found in the path. */
export interface Match {
  readonly route: string | undefined
  readonly params: Readonly<Record<string, string | undefined>>
}

/** The match of a request that no endpoint served. */
export const unmatched: Match = { route: undefined, params: {} }

const internal = new Internal({
  detail: "The service failed to answer; the request id finds the cause in its log."
})

/** The error of a failed request: one of the contract, or `Internal` for a defect. */
export const problemOf = (cause: Cause.Cause<unknown>): Problem => {
  for (const reason of cause.reasons) if (Cause.isFailReason(reason) && isProblem(reason.error)) return reason.error
  return internal
}

const bodyBytes = ({ body }: HttpServerResponse.HttpServerResponse): number =>
  body._tag === "Uint8Array" || body._tag === "Raw" ? (body.contentLength ?? 0) : 0

/** Whether the response has waited for changes. */
const heldOf = ({ headers }: HttpServerResponse.HttpServerResponse): CompletedRequest["held"] =>
  headers["preference-applied"] === undefined
    ? headers["content-type"] === eventStream
      ? "stream"
      : undefined
    : "wait"

/** Makes the response of a request, and notifies the observer. An abandoned request stays interrupted. */
export type Complete = (
  exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>,
  context: RequestContext,
  match: Match
) => Effect.Effect<HttpServerResponse.HttpServerResponse>

/** Completes requests, with the observer of the effect's context. */
export const make: Effect.Effect<Complete, never, Lifecycle> = Effect.gen(function* () {
  const lifecycle = yield* Lifecycle
  const observer = yield* RequestObserver
  const clock = yield* Clock.Clock

  const observe = (
    context: RequestContext,
    match: Match,
    status: number,
    problem?: Problem,
    responseBytes = 0,
    held?: CompletedRequest["held"]
  ) => {
    observer.completed({
      id: context.id,
      identity: context.identity,
      remoteAddress: context.identity === undefined ? context.remoteAddress : undefined,
      method: context.method,
      target: context.target,
      ...match,
      status,
      code: problem?.code,
      receivedAt: context.receivedAt,
      durationMillis: Number(clock.currentTimeNanosUnsafe() - context.startedNanos) / 1e6,
      requestBytes: context.requestBytes,
      responseBytes,
      traceId: context.traceId,
      held
    })
  }

  return (exit, context, match) => {
    const respond = (response: HttpServerResponse.HttpServerResponse, problem?: Problem) => {
      const responseBytes = context.method === "HEAD" ? 0 : bodyBytes(response)
      // A problem may come at the end of a wait.
      const held = problem === undefined ? heldOf(response) : context.asksToHold
      observe(context, match, response.status, problem, responseBytes, held)
      const headers = { "x-request-id": context.id }
      // During shutdown, clients move elsewhere before the port closes. After a change of trust, they repeat the
      // handshake.
      const closes = context.isOutdated || lifecycle.isShuttingDown()
      return HttpServerResponse.setHeaders(response, closes ? { ...headers, connection: "close" } : headers)
    }
    if (Exit.isSuccess(exit)) return Effect.succeed(respond(exit.value))
    if (Cause.hasInterruptsOnly(exit.cause)) {
      observe(context, match, clientGone, undefined, 0, context.asksToHold)
      return Effect.failCause(Cause.fromReasons(exit.cause.reasons.filter(Cause.isInterruptReason)))
    }
    const problem = problemOf(exit.cause)
    const response = respond(toResponse(problem, context.id), problem)
    return problem === internal
      ? Effect.logError("A request ended in a defect", exit.cause).pipe(
          Effect.annotateLogs({ requestId: context.id }),
          Effect.as(response)
        )
      : Effect.succeed(response)
  }
})

/** Completes the requests of every endpoint. The outermost middleware: it sees the errors of all others. */
export const layer = Layer.effect(
  Completed,
  Effect.map(
    make,
    (complete) => (handled) =>
      Effect.uninterruptibleMask((restore) =>
        // Few steps: every request of the routes takes them.
        Effect.contextWith((services: Context.Context<HttpRouter.RouteContext>) => {
          const context = Context.get(services, RequestContext)
          const { params, route } = Context.get(services, HttpRouter.RouteContext)
          const match = { route: route.path, params }
          return Effect.matchCauseEffect(restore(handled), {
            onSuccess: (response) => complete(Exit.succeed(response), context, match),
            onFailure: (cause) => complete(Exit.failCause(cause), context, match)
          })
        })
      )
  )
)
