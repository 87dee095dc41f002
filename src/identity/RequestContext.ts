import { Context } from "effect"
import type { Identity } from "./Identity.ts"

/**
 * The properties of a request that are known before routing.
 *
 * - `id`: the caller's `X-Request-Id`, or a new one.
 * - `identity`: the caller; `undefined` if the client is unidentified.
 * - `remoteAddress`: the client's address; `undefined` if the connection is lost.
 * - `method`, `target`: as sent; the target is path and query.
 * - `receivedAt`: milliseconds since the epoch. `startedNanos`: the same moment on the monotonic clock.
 * - `requestBytes`: size of request target and header block.
 * - `traceId`: the trace of the request; `undefined` without one.
 * - `asksToHold`: whether the request asks for a response that waits for changes.
 * - `isOutdated`: whether the verdict on the connection's certificate no longer holds, so that a new handshake may have
 *   another result.
 */
export interface RequestContext {
  readonly id: string
  readonly identity: Identity | undefined
  readonly remoteAddress: string | undefined
  readonly method: string
  readonly target: string
  readonly receivedAt: number
  readonly startedNanos: bigint
  readonly requestBytes: number
  readonly traceId: string | undefined
  readonly asksToHold: "wait" | "stream" | undefined
  readonly isOutdated: boolean
}

/** The request that is being served. Without a server in front, an unidentified one. */
export const RequestContext: Context.Reference<RequestContext> = Context.Reference<RequestContext>(
  "kube-resource-api/identity/RequestContext",
  {
    defaultValue: () => ({
      id: "unknown",
      identity: undefined,
      remoteAddress: undefined,
      method: "unknown",
      target: "",
      receivedAt: 0,
      startedNanos: 0n,
      requestBytes: 0,
      traceId: undefined,
      asksToHold: undefined,
      isOutdated: false
    })
  }
)
