import type { IncomingMessage, ServerResponse } from "node:http"
import type { ClusterUnavailable, Unauthorized, Unidentified } from "../../contract/Problems.ts"
import type { Identity } from "../../identity/Identity.ts"
import type { CachedRead } from "../CachedRead.ts"

/** The error of a client that is no longer identified or permitted. */
export type HeldProblem = Unidentified | Unauthorized | ClusterUnavailable

/**
 * Why the service ends a held response.
 *
 * - `shutdown`: the instance drains.
 * - `certificate`, `permission`: the client is no longer identified or permitted; `problem` is the error that a request
 *   would get.
 * - `unavailable`: the cluster does not answer whether the client is still permitted.
 * - `superseded`: the client sent a further request on the connection, which would have to wait for this response.
 */
export type End =
  | { readonly reason: "shutdown" | "superseded" }
  | { readonly reason: "certificate" | "permission" | "unavailable"; readonly problem: HeldProblem }

/** The request of a held response. */
export interface HeldRequest {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly identity: Identity
  readonly read: CachedRead
}

/** A response that waits for changes: a wait or an event stream. */
export interface HeldResponse {
  readonly held: HeldRequest
  readonly kind: "wait" | "stream"
  /** Called every second. */
  readonly tick: (now: number) => void
  readonly end: (end: End) => void
  /** Continues after a change. */
  readonly proceed: () => void
  /** Ends after a defect. */
  readonly crash: () => void
}
