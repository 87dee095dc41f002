import { Effect } from "effect"
import { connect as connectTcp, type Socket } from "node:net"
import { connect as connectTls, type TLSSocket } from "node:tls"
import { clientOptions, type Party } from "./Pki.ts"

/** The server's port and address, by default 127.0.0.1, and the local address to connect from. */
interface Ends {
  readonly port: number
  readonly host?: string
  readonly from?: string
}

/** A server may end a connection with a reset: that destroys the socket and is no error of the test. */
const tolerant = <S extends Socket>(socket: S): S => {
  socket.on("error", () => socket.destroy())
  // Without a reader, the end of the stream is never seen.
  return socket.resume()
}

const openTcp = ({ port, host = "127.0.0.1", from }: Ends): Socket =>
  tolerant(connectTcp({ host, port, ...(from === undefined ? {} : { localAddress: from }) }))

const connected = <S extends Socket>(open: () => S, event: "connect" | "secureConnect") =>
  Effect.acquireRelease(
    Effect.callback<S, Error>((resume) => {
      const socket = open()
      socket.once(event, () => resume(Effect.succeed(socket)))
      socket.once("error", (error) => resume(Effect.fail(error)))
      socket.once("close", () => resume(Effect.fail(new Error("closed during the handshake"))))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** A TCP connection without any TLS data, destroyed with the scope. */
export const tcpConnection = (ends: Ends) => connected(() => openTcp(ends), "connect")

const tickets = new WeakMap<TLSSocket, Promise<Buffer>>()

/** A TLS connection, destroyed with the scope; `session` is the ticket of a session to resume. Fails if the handshake does. */
export const tlsConnection = (ends: Ends, client: Party, session?: Buffer) =>
  connected(() => {
    const resumed = session === undefined ? {} : { session }
    const socket = tolerant(connectTls({ socket: openTcp(ends), ...clientOptions(client), ...resumed }))
    tickets.set(socket, new Promise((taken) => socket.once("session", taken)))
    return socket
  }, "secureConnect")

/** The ticket that resumes the session of a TLS connection. */
export const ticket = (socket: TLSSocket): Effect.Effect<Buffer> =>
  Effect.promise(() => tickets.get(socket) ?? Promise.reject(new Error("not opened by tlsConnection")))

/** Waits until the server has closed the connection. */
export const closed = (socket: Socket): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (socket.closed) return resume(Effect.void)
    socket.resume()
    socket.once("close", () => resume(Effect.void))
  })

/** Status and lower-case head of the response to one GET. Fails if the connection ends before the whole response. */
export const ask = (socket: Socket, target: string): Effect.Effect<{ status: number; head: string }, Error> =>
  Effect.callback((resume) => {
    let text = ""
    const settle = (outcome: Effect.Effect<{ status: number; head: string }, Error>) => {
      socket.off("data", onData)
      socket.off("close", onClose)
      resume(outcome)
    }
    const onClose = () => settle(Effect.fail(new Error(`closed after ${JSON.stringify(text)}`)))
    const onData = (chunk: Buffer) => {
      text += chunk.toString("latin1")
      const [head = "", body] = text.split("\r\n\r\n")
      const length = Number(/^content-length: ([0-9]+)$/im.exec(head)?.[1])
      if (body !== undefined && body.length >= length) {
        settle(Effect.succeed({ status: Number(head.slice(9, 12)), head: head.toLowerCase() }))
      }
    }
    if (socket.destroyed) return onClose()
    socket.on("data", onData)
    socket.on("close", onClose)
    socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    return undefined
  })

/**
 * Writes `pieces` at intervals of `pauseMillis` and returns all that the server sent until it closed the connection.
 * With `halfClose`, the client ends its side after the last piece.
 */
export const exchange = Effect.fnUntraced(function* (
  port: number,
  pieces: ReadonlyArray<string | Buffer>,
  options: { readonly client?: Party; readonly pauseMillis?: number; readonly halfClose?: boolean } = {}
) {
  const socket = yield* tlsConnection({ port }, options.client ?? "admin")
  const chunks: Array<Buffer> = []
  socket.on("data", (chunk: Buffer) => chunks.push(chunk))
  for (const piece of pieces) {
    if (socket.destroyed) break
    socket.write(piece)
    if (options.pauseMillis !== undefined) yield* Effect.sleep(options.pauseMillis)
  }
  if (options.halfClose === true) socket.end()
  yield* closed(socket)
  return Buffer.concat(chunks).toString("latin1")
}, Effect.scoped)
