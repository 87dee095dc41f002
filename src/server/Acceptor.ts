/**
 * Accepts connections in front of the HTTPS server, so that a refused connection costs no TLS.
 *
 * Node has no hook before the TLS handshake, and a `connection` listener of ours would only run beside Node's own. So a
 * plain server accepts, and emits `connection` on the HTTPS server for each admitted connection. Node documents this
 * ("can be explicitly emitted by users to inject connections"). It emits `listening` too: Node starts its checks of
 * `headersTimeout` and `requestTimeout` at that event (setupConnectionsTracking in lib/_http_server.js, Node 26).
 *
 * `close` of a listening HTTPS server would stop those checks, and destroy connections whose response is still being
 * sent. The HTTPS server does not listen and is closed last, so neither happens during shutdown.
 */
import { Data, Deferred, Effect, FiberSet, type Scope } from "effect"
import type { Server as HttpsServer } from "node:https"
import { createServer, type Server, type Socket } from "node:net"

/** The address cannot be listened on. */
export class ListenError extends Data.TaggedError("ListenError")<{ readonly cause: Error }> {}

/** A listening acceptor. */
export interface Acceptor {
  readonly port: number
  /** Stops accepting. Succeeds once every connection has ended. */
  readonly close: Effect.Effect<void>
}

/** Logs failures to accept a connection. Without a listener for `error`, Node would end the process. */
export const logAcceptErrors = (server: Server): Effect.Effect<void, never, Scope.Scope> =>
  Effect.map(FiberSet.makeRuntime<never, void, never>(), (fork) => {
    server.on("error", (error) => fork(Effect.logError("A connection could not be accepted", error)))
  })

const portOf = (server: Server): number => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

const listening = (server: Server, options: { readonly host: string; readonly port: number }) =>
  Effect.callback<void, ListenError>((resume) => {
    const onError = (cause: Error) => resume(Effect.fail(new ListenError({ cause })))
    server.once("error", onError)
    server.listen({ ...options, backlog: 1024 }, () => {
      server.off("error", onError)
      resume(Effect.void)
    })
  })

/** Listens. `admit` decides about each connection before its handshake, and destroys a refused one. */
export const make = Effect.fnUntraced(function* (
  https: HttpsServer,
  admit: (socket: Socket) => boolean,
  options: { readonly host: string; readonly port: number }
): Effect.fn.Return<Acceptor, ListenError, Scope.Scope> {
  const closed = yield* Deferred.make<void>()
  const server = createServer({ noDelay: true }, (socket) => {
    if (admit(socket)) https.emit("connection", socket)
  })
  server.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
  yield* listening(server, options)
  yield* logAcceptErrors(server)
  https.emit("listening")
  return {
    port: portOf(server),
    close: Effect.suspend(() => {
      server.close()
      return Deferred.await(closed)
    }).pipe(Effect.ensuring(Effect.sync(() => https.close())))
  }
})
