import { Context } from "effect"
import type { BadRequest } from "../contract/Problems.ts"
import type { Identity } from "./Identity.ts"

/** Which endpoint a request is for, as its path template, and the parameters in its path; nothing until it is routed. */
export interface Matched {
  route: string | undefined
  params: Readonly<Record<string, string | undefined>>
}

const noParams = {}

/** What is known of a request before it is routed. */
export const unmatched = (): Matched => ({ route: undefined, params: noParams })

/**
 * What is known of a request before it is routed: its id (the caller's, or a new one), who sent it (`undefined`: not
 * identified), when it came, in milliseconds since the epoch, and what is wrong with its form, to be said once it is known
 * who asks and for what. Where nobody has said who sent it, nobody did. `matched` is filled in by the router.
 */
export const RequestContext = Context.Reference<{
  readonly id: string
  readonly identity: Identity | undefined
  readonly receivedAt: number
  readonly malformed: BadRequest | undefined
  readonly matched: Matched
}>("kube-resource-api/identity/RequestContext", {
  defaultValue: () => ({
    id: "unknown",
    identity: undefined,
    receivedAt: 0,
    malformed: undefined,
    matched: unmatched()
  })
})
