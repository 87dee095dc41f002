/**
 * What Node makes of the requests that are still in the packet for which a connection was ended. Its parser takes in whole
 * packets, and hundreds of requests fit into one: each would have an object for itself and one for its answer, which are
 * kept until the connection has closed, some hundred times as much memory as the packet. Of an ended connection all of them
 * share one.
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
  // Node gives more than the types tell.
  constructor(...given: [Request]) {
    super(...given)
    const shared = spent.get(given[0].socket)
    if (shared !== undefined) return shared.response
  }
}

/** Nobody's answer: Node listens to it once for each request. */
class NoResponse extends Response {
  override on(): this {
    return this
  }
}

/** To be called with a connection's last request that is looked at, once the connection has been destroyed. */
export const spend = (request: Request): void => {
  const { socket } = request
  request.on("error", () => {})
  request.destroy()
  spent.set(socket, { request, response: new NoResponse(request) })
  // Node's parser lets go of a connection that others read from: it is spared the packets to come.
  socket.on("data", () => {})
  socket.removeAllListeners("data")
}
