import { Context } from "effect"
import type { Identity } from "./Identity.ts"

/**
 * What is known of a request before it is routed.
 *
 * - `id`: the caller's `X-Request-Id`, or a new one.
 * - `identity`: who sent it; `undefined` where the client is not identified.
 * - `remoteAddress`: the client's address; `undefined` where the connection is gone.
 * - `method`, `target`: as sent; the target is path and query.
 * - `receivedAt`: milliseconds since the epoch. `startedNanos`: the same moment on the clock that never goes back.
 * - `requestBytes`: size of request target and header block.
 * - `traceId`: the trace that the request belongs to, where there is one.
 * - `isOutdated`: whether the verdict on its connection's certificate no longer holds: a new handshake may end otherwise.
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
      isOutdated: false
    })
  }
)
