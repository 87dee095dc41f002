import { Effect, type Scope } from "effect"
import { connect, createServer, type Socket } from "node:net"
import { listening } from "./Ports.ts"

/** A connection through a proxy. `sent` is the beginning of what the client sent. */
export interface ProxiedConnection {
  readonly sent: string
}

/** Forwards TCP connections, as a slow, stuck or broken network does. */
export interface TcpProxy {
  readonly port: number
  /** Delays all bytes from now on, in both directions. */
  readonly delay: (millis: number) => Effect.Effect<void>
  /** Holds all bytes back for a time, and then delivers them, also those of a peer that has left. */
  readonly hold: (millis: number) => Effect.Effect<void>
  /**
   * Loses all bytes of the matching connections, and those of new connections if `andNew`. They stay open: neither peer
   * learns that the other has left.
   */
  readonly lose: (matches: (one: ProxiedConnection) => boolean, andNew: boolean) => Effect.Effect<void>
  /** Forwards new connections again, and closes those that lost bytes. */
  readonly heal: Effect.Effect<void>
  /** The number of connections that clients hold open. */
  readonly open: () => number
}

const remembered = 4096

interface Proxied {
  sent: string
  isLost: boolean
  readonly client: Socket
  readonly upstream: Socket
}

/** A proxy to a port of this machine, which may be known later. It ends with the scope. */
export const make = (target: () => number): Effect.Effect<TcpProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const connections = new Set<Proxied>()
    const timers = new Set<NodeJS.Timeout>()
    const network = { delayMillis: 0, heldUntil: 0, losesNew: false }

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
        waiting.push({ due: Math.max(performance.now() + network.delayMillis, network.heldUntil), deliver })
        if (waiting.length === 1) run()
      }
    }
    const forward = (one: Proxied, from: Socket, to: Socket) => {
      const later = line()
      from.on("error", () => {})
      from.on("data", (chunk) =>
        later(() => {
          if (!one.isLost && !to.destroyed) to.write(chunk)
        })
      )
      from.on("close", () => {
        if (one.client.destroyed && one.upstream.destroyed) connections.delete(one)
        later(() => {
          if (!one.isLost) to.end()
        })
      })
    }
    const server = createServer((client) => {
      const one = { sent: "", isLost: network.losesNew, client, upstream: connect(target(), "127.0.0.1") }
      connections.add(one)
      client.on("data", (chunk) => {
        if (one.sent.length < remembered) one.sent += chunk.toString("latin1")
      })
      forward(one, client, one.upstream)
      forward(one, one.upstream, client)
    })
    const port = yield* listening(server)
    const closeAll = (which: (one: Proxied) => boolean) =>
      Effect.sync(() => {
        for (const one of connections) {
          if (!which(one)) continue
          one.client.destroy()
          one.upstream.destroy()
        }
      })
    const clearTimers = Effect.sync(() => {
      for (const timer of timers) clearTimeout(timer)
    })
    yield* Effect.addFinalizer(() =>
      Effect.andThen(
        clearTimers,
        closeAll(() => true)
      )
    )
    return {
      port,
      delay: (millis) =>
        Effect.sync(() => {
          network.delayMillis = millis
        }),
      hold: (millis) =>
        Effect.sync(() => {
          network.heldUntil = performance.now() + millis
        }),
      lose: (matches, andNew) =>
        Effect.sync(() => {
          network.losesNew = andNew
          for (const one of connections) if (matches(one)) one.isLost = true
        }),
      heal: Effect.suspend(() => {
        network.losesNew = false
        return closeAll(({ isLost }) => isLost)
      }),
      open: () => [...connections].filter(({ client }) => !client.destroyed).length
    }
  })
