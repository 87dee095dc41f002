import { Effect } from "effect"
import { Agent, request as httpsRequest } from "node:https"
import { connect, type TLSSocket } from "node:tls"
import { clientOptions, type Party } from "./Pki.ts"

/** An answer as it came over the wire; header names are lower case. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly body: string
}

/** One request on a connection of its own, or on `agent`'s. Fails with Node's error where there is no answer. */
export const send = (
  port: number,
  options: {
    readonly client: Party
    readonly path: string
    readonly method?: string
    readonly headers?: Readonly<Record<string, string>>
    readonly body?: string
    readonly agent?: Agent
  }
): Effect.Effect<Answer, Error> =>
  Effect.callback<Answer, Error>((resume) => {
    const request = httpsRequest(
      {
        host: "127.0.0.1",
        port,
        path: options.path,
        method: options.method ?? "GET",
        headers: options.headers ?? {},
        ...(options.agent === undefined ? { agent: false, ...clientOptions(options.client) } : { agent: options.agent })
      },
      (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("error", (error) => resume(Effect.fail(error)))
        response.on("end", () =>
          resume(
            Effect.succeed({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks).toString()
            })
          )
        )
      }
    )
    request.on("error", (error) => resume(Effect.fail(error)))
    request.end(options.body)
    return Effect.sync(() => request.destroy())
  })

/** A pool of kept-alive connections of one client, closed with the scope. */
export const agent = (client: Party, maxSockets = 8) =>
  Effect.acquireRelease(
    Effect.sync(() => new Agent({ keepAlive: true, maxSockets, ...clientOptions(client) })),
    (pool) => Effect.sync(() => pool.destroy())
  )

const tickets = new WeakMap<TLSSocket, Promise<Buffer>>()

/** A bare TLS connection, destroyed with the scope; `session`: one to resume. */
export const rawConnection = (port: number, client: Party, session?: Buffer) =>
  Effect.acquireRelease(
    Effect.callback<TLSSocket, Error>((resume) => {
      const socket = connect({
        host: "127.0.0.1",
        port,
        ...clientOptions(client),
        ...(session === undefined ? {} : { session })
      })
      tickets.set(socket, new Promise((taken) => socket.once("session", taken)))
      socket.once("secureConnect", () => resume(Effect.succeed(socket)))
      socket.once("error", (error) => resume(Effect.fail(error)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** The ticket with which a bare connection's session can be resumed. */
export const ticket = (socket: TLSSocket): Effect.Effect<Buffer> =>
  Effect.promise(() => tickets.get(socket) ?? Promise.reject(new Error("not one of rawConnection's")))

/** One GET on a bare connection, which stays open if the server keeps it so. Fails where the connection ends first. */
export const ask = (socket: TLSSocket, path: string): Effect.Effect<{ status: number; head: string }, Error> =>
  Effect.callback((resume) => {
    let text = ""
    const settle = (result: Effect.Effect<{ status: number; head: string }, Error>) => {
      socket.off("data", onData)
      socket.off("close", onClose)
      resume(result)
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
    socket.on("data", onData)
    socket.on("close", onClose)
    if (socket.destroyed) onClose()
    else socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  })

/** Waits until the server has closed a connection. */
export const closed = (socket: TLSSocket): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (socket.closed) return resume(Effect.void)
    // Without a reader the end of the stream is never seen.
    socket.resume()
    socket.once("close", () => resume(Effect.void))
  })

/** Writes `pieces` one after the other, `pauseMillis` apart, and gives all that came back until the server closed; `halfClose`: says that no more will come. */
export const rawExchange = (
  port: number,
  pieces: ReadonlyArray<string | Buffer>,
  options: { readonly client?: Party; readonly pauseMillis?: number; readonly halfClose?: boolean } = {}
): Effect.Effect<string, Error> =>
  Effect.scoped(
    Effect.gen(function* () {
      const socket = yield* rawConnection(port, options.client ?? "admin")
      const chunks: Array<Buffer> = []
      socket.on("data", (chunk: Buffer) => chunks.push(chunk))
      // A reset after the answer is how a refused sender notices; what came before it counts.
      socket.on("error", () => socket.destroy())
      for (const piece of pieces) {
        if (socket.destroyed) break
        socket.write(piece)
        if (options.pauseMillis !== undefined) yield* Effect.sleep(options.pauseMillis)
      }
      if (options.halfClose === true) socket.end()
      yield* closed(socket)
      return Buffer.concat(chunks).toString("latin1")
    })
  )
