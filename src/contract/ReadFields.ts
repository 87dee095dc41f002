/**
 * The header fields of reads, which the server and the in-memory cluster of the client treat alike: `If-None-Match` (RFC
 * 9110), `Prefer: wait` (RFC 7240), `Accept`, and the fields of the responses.
 */

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

/** The media type of an event stream. */
export const eventStream = "text/event-stream"

const quality = (range: string): number => {
  const found = /;[ \t]*q=([0-9.]+)/i.exec(range)
  return found === null ? 1 : Number(found[1])
}

/**
 * Whether a client asks for an event stream: `Accept` names `text/event-stream`, and does not prefer `application/json`.
 */
export const acceptsStream = (field: string | undefined): boolean => {
  if (field === undefined || field === "*/*") return false
  const accept = field.toLowerCase()
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

/** The fields of a 200 and of a 304. Consumers revalidate before each use, and shared caches do not store the response. */
export const readHeaders = (etag: string, age: number) => ({
  age: String(age),
  "cache-control": "private, no-cache",
  etag,
  vary: "accept"
})

/** The fields of an event stream. `X-Accel-Buffering` stops nginx from buffering it. */
export const streamHeaders = (age: number) => ({
  age: String(age),
  "cache-control": "private, no-cache",
  "content-type": eventStream,
  vary: "accept",
  "x-accel-buffering": "no"
})

/** The field of a response that has waited. */
export const waited = (seconds: number) => ({ "preference-applied": `wait=${seconds}` })
