/**
 * Answers input that Node's HTTP parser refuses before a request exists: writes a problem of the contract to the socket
 * and closes it.
 */
import { Predicate } from "effect"
import { Socket } from "node:net"
import type { Duplex } from "node:stream"
import {
  BadRequest,
  HeaderFieldsTooLarge,
  type Problem,
  problemContentType,
  RequestTimeout,
  UriTooLong
} from "../contract/Problems.ts"
import type { Connections } from "./Connections.ts"
import { render } from "../http/ErrorResponse.ts"
import { requestId } from "../http/RequestForm.ts"
import type { RequestObserver } from "../observability/RequestObserver.ts"

const carriageReturn = 13
const space = 32

/**
 * Whether the parser's buffer overflowed within the request line. `packet` is the last chunk from the socket. The parser
 * consumed its first `parsed` bytes. If they contain a line end, the request line was complete. If they begin with a
 * method and a space, the request line began in this chunk. In a later chunk, the space and the protocol version after
 * the overflow show that it occurred in the request target.
 */
export const overflowedInRequestLine = (packet: Uint8Array, parsed: number): boolean => {
  const taken = packet.subarray(0, parsed)
  if (taken.includes(carriageReturn)) return false
  const method = taken.indexOf(space)
  if (method > 0 && method <= 10) return true
  return Buffer.from(packet.subarray(parsed, parsed + 8))
    .toString("latin1")
    .startsWith(" HTTP/1.")
}

const problemFor = (error: Error): Problem => {
  const code = Predicate.hasProperty(error, "code") ? error.code : undefined
  switch (code) {
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new RequestTimeout({ detail: "The request took too long to arrive." })
    case "HPE_HEADER_OVERFLOW": {
      const packet = Predicate.hasProperty(error, "rawPacket") ? error.rawPacket : undefined
      const parsed = Predicate.hasProperty(error, "bytesParsed") ? error.bytesParsed : undefined
      return packet instanceof Uint8Array &&
        overflowedInRequestLine(packet, typeof parsed === "number" && parsed > 0 ? parsed : packet.length)
        ? new UriTooLong({ detail: "The request target is too long." })
        : new HeaderFieldsTooLarge({ detail: "The header block is too long." })
    }
    default:
      return new BadRequest({ detail: "The request is not well-formed HTTP/1.1." })
  }
}

/** Writes a problem as a whole HTTP response, ends the connection, and notifies the observer. */
export const endWith = (
  socket: Duplex,
  problem: Problem,
  id: string,
  observer: RequestObserver,
  method = "unknown"
): void => {
  const { status, title, body, headers } = render(problem, id)
  const responseBytes = Buffer.byteLength(body)
  observer.received()
  observer.completed({
    id,
    identity: undefined,
    remoteAddress: socket instanceof Socket ? socket.remoteAddress : undefined,
    method,
    target: "",
    route: undefined,
    params: {},
    status,
    code: problem.code,
    receivedAt: Date.now(),
    durationMillis: undefined,
    requestBytes: 0,
    responseBytes,
    traceId: undefined
  })
  const lines = [
    `HTTP/1.1 ${status} ${title}`,
    "connection: close",
    `content-type: ${problemContentType}`,
    `content-length: ${responseBytes}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  ]
  socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`)
}

/**
 * The `clientError` listener. It answers with a problem, except on these connections, which it only closes:
 *
 * - in its handshake: TLS has reported the fault.
 * - with a request in progress, or answered before its body had arrived: the client would take the problem for the
 *   response to that request.
 */
export const onClientError =
  (connections: Connections, observer: RequestObserver) =>
  (error: Error, socket: Duplex): void => {
    if (
      !socket.writable ||
      !connections.isSecured(socket) ||
      connections.isAnswering(socket) ||
      connections.wasAnswered(socket) ||
      (Predicate.hasProperty(error, "code") && error.code === "ECONNRESET")
    ) {
      socket.destroy()
      return
    }
    endWith(socket, problemFor(error), requestId(undefined), observer)
    // A client that keeps sending must not hold the connection open.
    setTimeout(() => socket.destroy(), 1000).unref()
  }
