import { Cause, Duration, Effect, Queue, type Scope } from "effect"
import * as Sse from "effect/encoding/Sse"
import type { IncomingMessage } from "node:http"
import { request as httpsRequest, type RequestOptions } from "node:https"
import { NoAnswer, noAnswer } from "./NoAnswer.ts"

/** An open event stream. Header names are in lower case. */
export interface OpenStream {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  /** The next event. Fails if none arrives in time, or if the stream has ended. */
  readonly next: Effect.Effect<Sse.Event, NoAnswer>
  /** Ends the client's side of the connection, and waits until the service has closed its side. */
  readonly close: Effect.Effect<void, NoAnswer>
}

const within = <A>(effect: Effect.Effect<A, NoAnswer>, millis: number, what: string) =>
  Effect.timeoutOrElse(effect, {
    duration: Duration.millis(millis),
    orElse: () => Effect.fail(new NoAnswer({ problem: `${what} within ${millis} ms` }))
  })

/** Opens an event stream over a connection of its own, which the end of the scope closes. */
export const open = Effect.fnUntraced(function* (
  { headers, ...options }: RequestOptions & { readonly headers: Readonly<Record<string, string>> },
  patienceMillis: number
): Effect.fn.Return<OpenStream, NoAnswer, Scope.Scope> {
  const events = yield* Queue.unbounded<Sse.Event, NoAnswer>()
  const over = (error: NoAnswer) => Queue.failCauseUnsafe(events, Cause.fail(error))
  const parser = Sse.makeParser((event) => event._tag === "Event" && Queue.offerUnsafe(events, event), {
    maxEventSize: Number.MAX_SAFE_INTEGER
  })
  const request = yield* Effect.acquireRelease(
    Effect.sync(() => httpsRequest({ ...options, headers: { accept: "text/event-stream", ...headers }, agent: false })),
    (request) => Effect.sync(() => request.destroy())
  )
  const responding = Effect.callback<IncomingMessage, NoAnswer>((resume) => {
    request.on("error", (error) => resume(Effect.fail(noAnswer(error))))
    request.once("response", (response) => {
      response.setEncoding("utf8")
      response.on("data", (text: string) => parser.feed(text))
      response.on("error", (error) => over(noAnswer(error)))
      response.on("close", () => over(new NoAnswer({ problem: "the stream has ended" })))
      resume(Effect.succeed(response))
    })
    request.end()
  })
  const { headers: fields, socket, statusCode = 0 } = yield* within(responding, patienceMillis, "no response")
  const closing = Effect.callback<void>((resume) => {
    if (socket.closed) return resume(Effect.void)
    socket.once("close", () => resume(Effect.void))
    socket.end()
  })
  return {
    status: statusCode,
    headers: fields,
    next: within(Queue.take(events), patienceMillis, "no event"),
    close: within(closing, patienceMillis, "the service did not close the connection")
  }
})
