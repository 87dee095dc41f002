/** The form of a request: sizes, target and id, checked before it is known what the request is for. */
import { Result } from "effect"
import { randomUUID } from "node:crypto"
import type { IncomingMessage } from "node:http"
import type { Http2ServerRequest } from "node:http2"
import { BadRequest } from "../contract/Problems.ts"

/** Limits of a request, in bytes. */
export interface RequestLimits {
  readonly maxTargetBytes: number
  readonly maxHeaderBytes: number
  readonly maxBodyBytes: number
}

const acceptableId = /^[A-Za-z0-9._-]{1,128}$/

/** The id of a request: the caller's `X-Request-Id` if it is 1-128 characters of `[A-Za-z0-9._-]`, else a new UUID. */
export const requestId = (given: string | ReadonlyArray<string> | undefined): string =>
  typeof given === "string" && acceptableId.test(given) ? given : randomUUID()

/** The bytes of a header block as it came over the wire: each field is `name: value` and a line end. */
export const headerBytes = (rawHeaders: ReadonlyArray<string>): number => {
  let bytes = 0
  for (const text of rawHeaders) bytes += text.length + 2
  return bytes
}

const hostFields = (rawHeaders: ReadonlyArray<string>): number => {
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]
    if (name?.length === 4 && name.toLowerCase() === "host") hosts++
  }
  return hosts
}

/** What is wrong with a request's form: its version of HTTP, its Host, the body that it announces. */
export const malformation = (
  incoming: IncomingMessage | Http2ServerRequest,
  limits: RequestLimits
): BadRequest | undefined => {
  if (incoming.httpVersionMajor !== 1) return new BadRequest({ detail: "This service speaks HTTP/1.1." })
  const hosts = hostFields(incoming.rawHeaders)
  if (hosts !== 1 && (hosts > 1 || incoming.httpVersionMinor >= 1)) {
    return new BadRequest({ detail: "An HTTP/1.1 request must have one Host header." })
  }
  const announced = incoming.headers["content-length"]
  return announced !== undefined && Number(announced) > limits.maxBodyBytes
    ? new BadRequest({ detail: `A request body may have at most ${limits.maxBodyBytes} bytes; none is read.` })
    : undefined
}

const special = /[%;#]/

const routableSegment = (segment: string): string =>
  Result.isSuccess(Result.try(() => decodeURIComponent(segment))) ? segment : segment.replaceAll("%", "%25")

/**
 * A request target as the router should see it. A segment whose percent-encoding is malformed is escaped, so that the
 * request is routed by its other segments and then refused in its turn: the escaped text can be no name. `;` and `#`,
 * which the router would take for the start of the query, are escaped too: in a path they are ordinary characters.
 */
export const routableTarget = (target: string): string => {
  if (!special.test(target)) return target
  const queryAt = target.indexOf("?")
  const path = queryAt === -1 ? target : target.slice(0, queryAt)
  return path.split("/").map(routableSegment).join("/").replaceAll(";", "%3B").replaceAll("#", "%23")
}
