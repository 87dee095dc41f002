/** The form of a request: its sizes, target and id, checked independently of the endpoint. */
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

/** The size of a header block on the wire: each field is `name: value` and a line end. */
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

/** The error of a malformed request: by its HTTP version, its Host or the length of its body. */
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
 * A request target for the router. A segment with malformed percent-encoding is escaped: its other segments still route
 * the request, and the endpoint then refuses the escaped text, which is no valid name. `;` and `#` in the path are escaped
 * too, because the router would take them for the start of the query. The query stays as it is.
 */
export const routableTarget = (target: string): string => {
  if (!special.test(target)) return target
  const queryAt = target.indexOf("?")
  const path = queryAt === -1 ? target : target.slice(0, queryAt)
  const query = queryAt === -1 ? "" : target.slice(queryAt)
  return path.split("/").map(routableSegment).join("/").replaceAll(";", "%3B").replaceAll("#", "%23") + query
}
