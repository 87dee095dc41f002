import { Effect } from "effect"
import { connect as connectTcp, type Socket } from "node:net"
import { connect as connectTls, type TLSSocket } from "node:tls"
import { type Client, clientOptions } from "./Pki.ts"

/** Where a connection goes to, and which address it comes from. */
interface Ends {
  readonly port: number
  readonly host?: string
  readonly from?: string
}

const tcp = ({ port, host = "127.0.0.1", from }: Ends) =>
  connectTcp({ host, port, ...(from === undefined ? {} : { localAddress: from }) })

const kept = <S extends Socket>(socket: S) => {
  // A reset is one of the ways in which a connection is ended.
  socket.on("error", () => socket.destroy())
  socket.resume()
  return socket
}

const connected = <S extends Socket>(open: () => S, event: "connect" | "secureConnect") =>
  Effect.acquireRelease(
    Effect.callback<S, Error>((resume) => {
      const socket = open()
      socket.once(event, () => resume(Effect.succeed(socket)))
      socket.once("close", () => resume(Effect.fail(new Error("closed"))))
      kept(socket)
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** A TCP connection on which nothing is said yet, destroyed with the scope. */
export const tcpConnection = (ends: Ends) => connected(() => tcp(ends), "connect")

/** A TLS connection, destroyed with the scope; fails where it is closed in its handshake. */
export const tlsConnection = (ends: Ends, client: Client) =>
  connected<TLSSocket>(() => connectTls({ socket: kept(tcp(ends)), ...clientOptions(client) }), "secureConnect")

/** Waits until the other side has closed. */
export const closed = (socket: Socket): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (socket.closed) return resume(Effect.void)
    socket.once("close", () => resume(Effect.void))
  })

/** Sends a request over a connection and gives the head of the next answer, or fails where the connection is closed first. */
export const ask = (socket: Socket, target: string): Effect.Effect<string, Error> =>
  Effect.callback<string, Error>((resume) => {
    let text = ""
    const onData = (chunk: Buffer) => {
      text += chunk.toString("latin1")
      const [head, body = ""] = text.split("\r\n\r\n")
      const length = Number(/content-length: ([0-9]+)/i.exec(head ?? "")?.[1])
      if (body.length >= length) done(Effect.succeed(head ?? ""))
    }
    const onClose = () => done(Effect.fail(new Error("closed")))
    const done = (outcome: Effect.Effect<string, Error>) => {
      socket.off("data", onData)
      socket.off("close", onClose)
      resume(outcome)
    }
    if (socket.destroyed) return resume(Effect.fail(new Error("closed")))
    socket.on("data", onData)
    socket.once("close", onClose)
    socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)
  })
