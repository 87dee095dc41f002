import { Effect, type Scope } from "effect"
import { connect, createServer, type Socket } from "node:net"
import { listening } from "./Ports.ts"

/** A connection through a proxy. `sent` is the beginning of what the client sent. */
export interface ProxiedConnection {
  readonly sent: string
}

/** Forwards TCP connections, and can lose what they send, as a broken network does. */
export interface TcpProxy {
  readonly port: number
  /** Loses all bytes of the matching connections, and those of new connections if `andNew`. They stay open. */
  readonly lose: (matches: (one: ProxiedConnection) => boolean, andNew: boolean) => Effect.Effect<void>
  /** Forwards new connections again, and closes those that lost bytes. */
  readonly heal: Effect.Effect<void>
  /** The number of open connections. */
  readonly open: () => number
}

const remembered = 4096

class Proxied implements ProxiedConnection {
  sent = ""
  isLost: boolean
  readonly client: Socket
  readonly upstream: Socket

  constructor(client: Socket, upstream: Socket, isLost: boolean, onClose: () => void) {
    this.client = client
    this.upstream = upstream
    this.isLost = isLost
    client.on("data", (chunk) => {
      if (this.sent.length < remembered) this.sent += chunk.toString("latin1")
      if (!this.isLost) upstream.write(chunk)
    })
    upstream.on("data", (chunk) => void (this.isLost || client.write(chunk)))
    client.on("error", () => {}).on("close", () => (this.close(), onClose()))
    upstream.on("error", () => {}).on("close", () => void (this.isLost || this.close()))
  }

  close(): void {
    this.client.destroy()
    this.upstream.destroy()
  }
}

/** A proxy to a port of this machine, which may be known later. It ends with the scope. */
export const make = (target: () => number): Effect.Effect<TcpProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const connections = new Set<Proxied>()
    let losesNew = false
    const server = createServer((client) => {
      const one = new Proxied(client, connect(target(), "127.0.0.1"), losesNew, () => connections.delete(one))
      connections.add(one)
    })
    const port = yield* listening(server)
    const closeAll = (which: (one: Proxied) => boolean) =>
      Effect.sync(() => {
        for (const one of connections) if (which(one)) one.close()
      })
    yield* Effect.addFinalizer(() => closeAll(() => true))
    return {
      port,
      lose: (matches, andNew) =>
        Effect.sync(() => {
          losesNew = andNew
          for (const one of connections) if (matches(one)) one.isLost = true
        }),
      heal: Effect.suspend(() => {
        losesNew = false
        return closeAll(({ isLost }) => isLost)
      }),
      open: () => connections.size
    }
  })
