/**
 * The requests that are still in the packet for which a connection was ended.
 *
 * Node's parser (parserOnIncoming in lib/_http_server.js, Node 26) parses whole packets, and hundreds of pipelined requests
 * fit into one. It creates a request and a response for each, and keeps them until the connection has closed: some hundred
 * times the memory of the packet. There is no way to stop the parser within a packet, and no upstream issue that asks for
 * one. So all requests of an ended connection share one object, and its `data` listener is removed.
 */
import { IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"

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
export class Response extends ServerResponse<Request> {
  // Node passes more arguments than its types declare.
  constructor(...given: [Request]) {
    super(...given)
    const shared = spent.get(given[0].socket)
    if (shared !== undefined) return shared.response
  }
}

/** The response that nobody reads. Node would add a listener for each request. */
class NoResponse extends Response {
  override on(): this {
    return this
  }
}

/** Gives up a connection, after its last request that is served. The connection is destroyed already. */
export const spend = (request: Request): void => {
  const { socket } = request
  request.on("error", () => {})
  request.destroy()
  spent.set(socket, { request, response: new NoResponse(request) })
  // Node's parser detaches from a socket that has another `data` listener, and is spared the packets to come.
  socket.on("data", () => {})
  socket.removeAllListeners("data")
}
