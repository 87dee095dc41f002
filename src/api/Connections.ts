/**
 * Knows the open connections of a server as far as Node does not: those still in their handshake, and those that go on
 * sending a request which has been answered.
 */
import { Predicate } from "effect"
import type { Server } from "node:https"
import type { Duplex } from "node:stream"
import type { Socket } from "node:net"
import type { TLSSocket } from "node:tls"

/** Whether Node is about to answer, or answering, a request of this connection; it keeps the response there. */
export const isAnswering = (socket: Duplex): boolean =>
  Predicate.hasProperty(socket, "_httpMessage") && socket._httpMessage !== null

const sweepMillis = 200

const nameOf = (socket: Socket): string => `${socket.remoteAddress}|${socket.remotePort}`

/** The connections of one server. */
export interface Connections {
  /** Whether a request on this connection was answered before it had arrived whole: nothing more may be said on it. */
  readonly wasAnswered: (socket: Duplex) => boolean
  /**
   * From now until the server has closed, ends every connection on which nothing is being answered. Node would wait for
   * them for ever, its own time-outs being off once it closes.
   */
  readonly endIdle: () => void
}

/** Follows the server's connections; to be called before it listens. */
export const follow = (server: Server): Connections => {
  const shaking = new Map<string, Socket>()
  const secured = new Set<TLSSocket>()
  const answered = new WeakSet<Duplex>()
  server.on("connection", (socket: Socket) => {
    const name = nameOf(socket)
    shaking.set(name, socket)
    socket.once("close", () => shaking.delete(name))
  })
  server.on("secureConnection", (socket) => {
    shaking.delete(nameOf(socket))
    secured.add(socket)
    socket.once("close", () => secured.delete(socket))
  })
  server.on("request", (request, response) => {
    // The many requests without a body are whole by the time they are seen.
    if (request.headers["content-length"] === undefined && request.headers["transfer-encoding"] === undefined) return
    response.once("finish", () => {
      if (!request.complete) answered.add(request.socket)
    })
    request.once("end", () => answered.delete(request.socket))
  })
  const sweep = () => {
    for (const socket of shaking.values()) socket.destroy()
    for (const socket of secured) if (!isAnswering(socket)) socket.destroy()
  }
  return {
    wasAnswered: (socket) => answered.has(socket),
    endIdle: () => {
      sweep()
      const sweeps = setInterval(sweep, sweepMillis)
      sweeps.unref()
      server.once("close", () => clearInterval(sweeps))
    }
  }
}
