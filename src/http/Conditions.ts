/** The header fields of conditional reads: `If-None-Match` (RFC 9110), `Prefer: wait` (RFC 7240) and `Accept`. */
import type { IncomingHttpHeaders } from "node:http"

const entityTag = /[ \t]*(W\/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)/y
const emptyElement = /[ \t]*,/y

/**
 * Whether the field value matches an entity tag by weak comparison; `undefined` if it is malformed. As RFC 9110 (5.6.1)
 * requires, empty elements of the list are ignored.
 */
export const matchesNone = (value: string, etag: string): boolean | undefined => {
  // Fast path: most clients send exactly one tag.
  if (value === etag) return true
  if (value.trim() === "*") return true
  let matched = false
  let found = false
  let at = 0
  while (at < value.length) {
    entityTag.lastIndex = at
    const tag = entityTag.exec(value)
    if (tag !== null) {
      found = true
      matched ||= tag[2] === etag
      at = entityTag.lastIndex
      continue
    }
    emptyElement.lastIndex = at
    if (emptyElement.exec(value) === null) break
    at = emptyElement.lastIndex
  }
  return found && value.slice(at).trim() === "" ? matched : undefined
}

/** The detail of a malformed `If-None-Match`. */
export const malformedTags = 'If-None-Match must be * or a list of entity tags in quotes, such as "12".'

const preference = /(?:^|,)[ \t]*wait[ \t]*=[ \t]*(?:([0-9]+)|"([0-9]+)")[ \t]*(?=[,;]|$)/i

/**
 * The seconds of the preference `wait`, at most `maxSeconds`; `undefined` without one. RFC 7240: a malformed preference is
 * ignored, and the first of several counts.
 */
export const waitSeconds = (prefer: string | ReadonlyArray<string> | undefined, maxSeconds: number) => {
  if (prefer === undefined) return undefined
  const found = preference.exec(typeof prefer === "string" ? prefer : prefer.join(","))
  return found === null ? undefined : Math.min(Number(found[1] ?? found[2]), maxSeconds)
}

const eventStream = "text/event-stream"

const quality = (range: string): number => {
  const found = /;[ \t]*q=([0-9.]+)/i.exec(range)
  return found === null ? 1 : Number(found[1])
}

/**
 * Whether a client asks for an event stream: `Accept` names `text/event-stream`, and does not prefer `application/json`.
 */
export const acceptsStream = (headers: IncomingHttpHeaders): boolean => {
  if (headers.accept === undefined || headers.accept === "*/*") return false
  const accept = headers.accept.toLowerCase()
  if (!accept.includes(eventStream)) return false
  const qualityOf = (type: string) =>
    Math.max(
      0,
      ...accept
        .split(",")
        .filter((range) => range.split(";")[0]?.trim() === type)
        .map(quality)
    )
  const streamQuality = qualityOf(eventStream)
  return streamQuality > 0 && streamQuality >= qualityOf("application/json")
}

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
  if (acceptsStream(headers)) return "stream"
  return headers["if-none-match"] !== undefined && waitSeconds(headers["prefer"], 1) !== undefined ? "wait" : undefined
}
