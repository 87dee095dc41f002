/** What a request must be before anybody asks what it is for. */
import type { IncomingMessage } from "node:http"
import type { Http2ServerRequest } from "node:http2"
import { BadRequest } from "../contract/Problems.ts"

/** What a request may be, in bytes. */
export interface RequestLimits {
  readonly maxTargetBytes: number
  readonly maxHeaderBytes: number
  readonly maxBodyBytes: number
}

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
