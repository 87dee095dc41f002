import { Effect } from "effect"
import { Agent, request as httpsRequest } from "node:https"
import { connect, type TLSSocket } from "node:tls"
import { type Client, clientOptions } from "./Pki.ts"

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
    readonly client: Client
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
export const agent = (client: Client, maxSockets = 8) =>
  Effect.acquireRelease(
    Effect.sync(() => new Agent({ keepAlive: true, maxSockets, ...clientOptions(client) })),
    (pool) => Effect.sync(() => pool.destroy())
  )

/** A bare TLS connection, destroyed with the scope. */
export const rawConnection = (port: number, client: Client) =>
  Effect.acquireRelease(
    Effect.callback<TLSSocket, Error>((resume) => {
      const socket = connect({ host: "127.0.0.1", port, ...clientOptions(client) })
      socket.once("secureConnect", () => resume(Effect.succeed(socket)))
      socket.once("error", (error) => resume(Effect.fail(error)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Writes `pieces` one after the other, `pauseMillis` apart, and gives all that came back until the server closed; `halfClose`: says that no more will come. */
export const rawExchange = (
  port: number,
  pieces: ReadonlyArray<string | Buffer>,
  options: { readonly client?: Client; readonly pauseMillis?: number; readonly halfClose?: boolean } = {}
): Effect.Effect<string, Error> =>
  Effect.scoped(
    Effect.gen(function* () {
      const socket = yield* rawConnection(port, options.client ?? "admin")
      const chunks: Array<Buffer> = []
      socket.on("data", (chunk: Buffer) => chunks.push(chunk))
      // A reset after the answer is how a refused sender notices; what came before it counts.
      socket.on("error", () => socket.destroy())
      const closed = Effect.callback<void>((resume) => {
        if (socket.closed) return resume(Effect.void)
        socket.once("close", () => resume(Effect.void))
      })
      for (const piece of pieces) {
        if (socket.destroyed) break
        socket.write(piece)
        if (options.pauseMillis !== undefined) yield* Effect.sleep(options.pauseMillis)
      }
      if (options.halfClose === true) socket.end()
      yield* closed
      return Buffer.concat(chunks).toString("latin1")
    })
  )
