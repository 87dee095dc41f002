/** What a read asks for beyond its path, in its header fields. */
import type { IncomingHttpHeaders } from "node:http"
import { acceptsStream, waitSeconds } from "../contract/ReadFields.ts"

const fieldOf = (value: string | ReadonlyArray<string> | undefined): string | undefined =>
  typeof value === "string" ? value : undefined

/**
 * The last state that a reconnecting client has seen: the id of its last event, and the version in the comment after it.
 */
export const resumption = (headers: IncomingHttpHeaders) => ({
  lastEventId: fieldOf(headers["last-event-id"]),
  lastVersion: fieldOf(headers["last-event-version"])
})

/** The kind of response that a read with these fields asks for, if it waits for changes. */
export const asksToHold = (headers: IncomingHttpHeaders): "wait" | "stream" | undefined => {
  if (acceptsStream(headers.accept)) return "stream"
  return headers["if-none-match"] !== undefined && waitSeconds(headers["prefer"], 1) !== undefined ? "wait" : undefined
}
