import { Effect, type Scope } from "effect"
import { connect, createServer, type Socket } from "node:net"
import { listening } from "./Ports.ts"

/** A TCP proxy to one port, as a slow, silent or broken network. */
export interface TcpProxy {
  readonly port: number
  /** Delays every chunk from now on, in both directions. */
  readonly delay: (millis: number) => void
  /** Forwards nothing more on the open connections, and does not close them: the peers wait. */
  readonly silence: () => void
  /** Closes the open connections. */
  readonly cut: () => void
}

/** A proxy that ends with the scope. */
export const make = (target: number): Effect.Effect<TcpProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<Socket>()
    const silent = new WeakSet<Socket>()
    let delayMillis = 0

    const forward = (from: Socket, to: Socket) => {
      sockets.add(from)
      from.on("error", () => to.destroy())
      from.on("close", () => {
        sockets.delete(from)
        if (!silent.has(from)) to.destroy()
      })
      from.on("data", (chunk) => {
        if (silent.has(from)) return
        if (delayMillis === 0) to.write(chunk)
        else setTimeout(() => to.write(chunk), delayMillis)
      })
    }
    const server = createServer((client) => {
      const upstream = connect({ port: target, host: "127.0.0.1" })
      forward(client, upstream)
      forward(upstream, client)
    })
    const cut = () => {
      for (const socket of sockets) socket.destroy()
    }
    const port = yield* listening(server)
    yield* Effect.addFinalizer(() => Effect.sync(cut))
    return {
      port,
      delay: (millis) => {
        delayMillis = millis
      },
      silence: () => {
        for (const socket of sockets) silent.add(socket)
      },
      cut
    }
  })
