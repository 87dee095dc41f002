import { Effect, type Scope } from "effect"
import { connect, createServer, type Socket } from "node:net"
import { listening } from "./Ports.ts"

/** A TCP proxy to one port, as a slow, stuck, silent or broken network. */
export interface TcpProxy {
  readonly port: number
  /** Delays all bytes from now on, in both directions. */
  readonly delay: (millis: number) => void
  /** Holds all bytes back for a time, and then delivers them, also those of a peer that has left. */
  readonly hold: (millis: number) => void
  /** Drops all bytes on the open connections, and does not close them: the peers wait. */
  readonly silence: () => void
  /** Closes the open connections. */
  readonly cut: () => void
}

/** A proxy that ends with the scope. */
export const make = (target: number): Effect.Effect<TcpProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<Socket>()
    const silent = new WeakSet<Socket>()
    const timers = new Set<NodeJS.Timeout>()
    let delayMillis = 0
    let heldUntil = 0

    /** Delivers in order, each not before its time. */
    const line = () => {
      const waiting: Array<{ readonly due: number; readonly deliver: () => void }> = []
      const run = () => {
        for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
          const wait = first.due - performance.now()
          if (wait > 0) {
            const timer = setTimeout(() => {
              timers.delete(timer)
              run()
            }, wait)
            timers.add(timer)
            return
          }
          waiting.shift()
          first.deliver()
        }
      }
      return (deliver: () => void) => {
        waiting.push({ due: Math.max(performance.now() + delayMillis, heldUntil), deliver })
        if (waiting.length === 1) run()
      }
    }
    const forward = (from: Socket, to: Socket) => {
      const later = line()
      sockets.add(from)
      from.on("error", () => {})
      from.on("data", (chunk) =>
        later(() => {
          if (!silent.has(from) && !to.destroyed) to.write(chunk)
        })
      )
      from.on("close", () => {
        sockets.delete(from)
        later(() => {
          if (!silent.has(from)) to.end()
        })
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
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const timer of timers) clearTimeout(timer)
        cut()
      })
    )
    return {
      port,
      delay: (millis) => {
        delayMillis = millis
      },
      hold: (millis) => {
        heldUntil = performance.now() + millis
      },
      silence: () => {
        for (const socket of sockets) silent.add(socket)
      },
      cut
    }
  })
