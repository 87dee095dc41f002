/**
 * Handles the requests that remain in a packet after its connection was ended.
 *
 * Node's parser (parserOnIncoming in lib/_http_server.js, Node 26) parses whole packets, and hundreds of pipelined
 * requests fit into one. It creates a request and a response for each, and keeps them until the connection has closed:
 * some hundred times the memory of the packet. There is no way to stop the parser within a packet. So all requests of an
 * ended connection share one object, and its `data` listener is removed. nodejs/node#62534 mends a leak of the same
 * requests.
 */
import { IncomingMessage } from "node:http"
import type { Socket } from "node:net"
import { OrderedResponse } from "./OrderedResponse.ts"

const spent = new WeakMap<Socket, { readonly request: Request; readonly response: Response }>()

/** The server's requests. */
export class Request extends IncomingMessage {
  constructor(socket: Socket) {
    super(socket)
    const shared = spent.get(socket)
    if (shared !== undefined) return shared.request
  }
}

/** The server's responses. */
export class Response extends OrderedResponse<Request> {
  // Node passes more arguments than its types declare.
  constructor(...given: [Request]) {
    super(...given)
    const shared = spent.get(given[0].socket)
    if (shared !== undefined) return shared.response
  }
}

/** A response that is never sent. Node would add a listener to it for each request. */
class NoResponse extends Response {
  override on(): this {
    return this
  }
}

/** Discards the remaining requests of a connection that has been destroyed. */
export const spend = (request: Request): void => {
  const { socket } = request
  request.on("error", () => {})
  request.destroy()
  spent.set(socket, { request, response: new NoResponse(request) })
  // Node's parser detaches from a socket with another `data` listener, so it does not parse later packets.
  socket.on("data", () => {})
  socket.removeAllListeners("data")
}
