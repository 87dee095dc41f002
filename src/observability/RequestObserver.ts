import { Context } from "effect"
import type { Identity } from "../identity/Identity.ts"
import type { Code } from "../contract/Problems.ts"

/**
 * A request with a response, or whose client has disconnected.
 *
 * - `remoteAddress`: set if the client is unidentified. `target`: path and query as sent.
 * - `route`: path template of the endpoint; `undefined` for an unknown endpoint or a request refused before routing.
 *   `params`: its path parameters as sent.
 * - `status`: 499 if the client disconnected before the response.
 * - `code`: tag of the error, if any.
 * - `receivedAt`: milliseconds since the epoch. `durationMillis`: time until the response was passed to the socket;
 *   `undefined` if the request was incomplete.
 * - `requestBytes`: size of target and header block. `responseBytes`: size of the body.
 * - `traceId`: trace of a traced request.
 * - `held`: set if the response waited for changes, so that its duration does not measure the service.
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
  readonly held?: "wait" | "stream" | undefined
}

/** Observes requests for metrics and logs. It is on the hot path, so it must be fast and must not throw. */
export interface RequestObserver {
  /** A request has started. `completed` follows. */
  readonly received: () => void
  readonly completed: (request: CompletedRequest) => void
}

/** The status of a request whose client disconnected, as in nginx. It is never sent. */
export const clientGone = 499

/** Observes nothing. */
export const unobserved: RequestObserver = { received: () => {}, completed: () => {} }

/** The observer of all requests. The default observes nothing. */
export const RequestObserver: Context.Reference<RequestObserver> = Context.Reference<RequestObserver>(
  "kube-resource-api/observability/RequestObserver",
  { defaultValue: () => unobserved }
)

/** Combines observers. */
export const all = (observers: ReadonlyArray<RequestObserver>): RequestObserver => ({
  received: () => {
    for (const observer of observers) observer.received()
  },
  completed: (request) => {
    for (const observer of observers) observer.completed(request)
  }
})
