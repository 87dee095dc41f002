import { Context } from "effect"
import type { Identity } from "../security/Identity.ts"

/**
 * What is known of a request before it is routed: its id (the caller's, or a new one), who sent it (`undefined`: not
 * identified) and when it came, in milliseconds since the epoch. Where nobody has said who sent it, nobody did.
 */
export const RequestContext = Context.Reference<{
  readonly id: string
  readonly identity: Identity | undefined
  readonly receivedAt: number
}>("kube-resource-api/api/RequestContext", {
  defaultValue: () => ({ id: "unknown", identity: undefined, receivedAt: 0 })
})
