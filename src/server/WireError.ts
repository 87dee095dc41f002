/**
 * Answers what Node's HTTP parser refuses before a request exists: these too get a problem of the contract, written
 * straight onto the socket, which is then closed.
 */
import { Predicate } from "effect"
import { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { BadRequest, HeaderFieldsTooLarge, RequestTimeout, UriTooLong } from "../contract/Problems.ts"
import type { Connections } from "./Connections.ts"
import { codeOf, render, type ServiceError } from "../http/ErrorResponse.ts"
import { requestId } from "../http/RequestId.ts"
import type { RequestObserver } from "../observability/RequestObserver.ts"

const carriageReturn = 13
const space = 32

/**
 * Whether the parser's buffer overflowed within the request line. `packet` is the last piece that came from the socket
 * and `parsed` how much of it the parser took: the line has not ended if no line end was taken, and the first piece of a
 * request (a method and a space stand at its front) holds it from its start. In a later piece the request target is the
 * only thing that a space and the protocol's version follow.
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

const errorFor = (error: Error): ServiceError => {
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

/** Writes a problem as a whole HTTP response, ends the connection, and tells the observer. `method`: where it is known. */
export const endWith = (
  socket: Duplex,
  error: ServiceError,
  id: string,
  observer: RequestObserver,
  method = "unknown"
): void => {
  const { status, title, body, headers } = render(error, id)
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
    code: codeOf(error),
    receivedAt: Date.now(),
    durationMillis: undefined,
    requestBytes: 0,
    responseBytes,
    traceId: undefined
  })
  const lines = [
    `HTTP/1.1 ${status} ${title}`,
    "connection: close",
    "content-type: application/problem+json",
    `content-length: ${responseBytes}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  ]
  socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`)
}

/**
 * The `clientError` listener: answers, unless the connection is still in its handshake (TLS has said what is wrong with it),
 * or a request of it is being answered or was answered before it had arrived whole, for which an answer now would be taken;
 * then it only closes.
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
    endWith(socket, errorFor(error), requestId(undefined), observer)
    // A client that goes on sending must not keep the connection for ever.
    setTimeout(() => socket.destroy(), 1000).unref()
  }
