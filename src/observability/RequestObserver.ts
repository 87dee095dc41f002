import { Context } from "effect"
import type { Identity } from "../identity/Identity.ts"
import type { Code } from "../contract/Problems.ts"

/**
 * A request that has been answered, or whose client has gone.
 *
 * - `remoteAddress`: the client's, where it is not identified. `target`: the path and query as sent.
 * - `route`: the endpoint's path template; `undefined` where there is no such endpoint, or the request was refused before
 *   it was looked for. `params`: what its parameters were in the path, as sent.
 * - `status`: 499 where the client went away before there was an answer.
 * - `code`: the error's tag; `undefined` where there was none.
 * - `receivedAt`: milliseconds since the epoch. `durationMillis`: until the answer was handed over to be sent;
 *   `undefined` where the request never arrived whole.
 * - `requestBytes`: target and header block; `responseBytes`: body.
 * - `traceId`: of the span that the request belongs to, where requests are traced.
 */
export interface CompletedRequest {
  readonly id: string
  readonly identity: Identity | undefined
  readonly remoteAddress: string | undefined
  readonly method: string
  readonly target: string
  readonly route: string | undefined
  readonly params: Readonly<Record<string, string | undefined>>
  readonly status: number
  readonly code: Code | undefined
  readonly receivedAt: number
  readonly durationMillis: number | undefined
  readonly requestBytes: number
  readonly responseBytes: number
  readonly traceId: string | undefined
}

/** Is told of requests, for metrics and logs. It is called on the hot path: it must be quick and must not throw. */
export interface RequestObserver {
  /** A request has come that `completed` will be called for. */
  readonly received: () => void
  readonly completed: (request: CompletedRequest) => void
}

/** The status with which a request is told of whose client went away, as nginx writes it. It never goes over the wire. */
export const clientGone = 499

/** Nobody is told, and nothing is done for it. */
export const unobserved: RequestObserver = { received: () => {}, completed: () => {} }

/** The observer of all requests. By default nobody is told. */
export const RequestObserver: Context.Reference<RequestObserver> = Context.Reference<RequestObserver>(
  "kube-resource-api/observability/RequestObserver",
  { defaultValue: () => unobserved }
)

/** Tells several. */
export const all = (observers: ReadonlyArray<RequestObserver>): RequestObserver => ({
  received: () => {
    for (const observer of observers) observer.received()
  },
  completed: (request) => {
    for (const observer of observers) observer.completed(request)
  }
})
