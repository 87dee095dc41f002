import { Effect, Schedule, type Scope } from "effect"
import { connect, createServer, type Socket } from "node:net"
import { eventually } from "./Eventually.ts"
import { send } from "./Https.ts"
import { listening } from "./Ports.ts"

/** Balances TCP connections over the ready ports, like a Kubernetes Service. */
export interface TcpBalancer {
  readonly port: number
  /** Adds the port of an instance and waits until it is ready. It gets new connections while `/readyz` returns 200. */
  readonly add: (instance: number) => Effect.Effect<void>
  readonly remove: (instance: number) => void
  /** The number of connections of each instance. */
  readonly given: ReadonlyMap<number, number>
}

/** A balancer that ends with the scope. */
export const make: Effect.Effect<TcpBalancer, never, Scope.Scope> = Effect.gen(function* () {
  const ready = new Map<number, boolean>()
  const given = new Map<number, number>()
  const sockets = new Set<Socket>()
  let turn = 0

  const server = createServer({ allowHalfOpen: true }, (client) => {
    const able = [...ready].filter(([, is]) => is).map(([port]) => port)
    const port = able[turn++ % able.length]
    if (port === undefined) return client.destroy()
    given.set(port, (given.get(port) ?? 0) + 1)
    const upstream = connect({ port, host: "127.0.0.1", allowHalfOpen: true })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client]
    ] as const) {
      sockets.add(one)
      one.on("error", () => other.destroy())
      one.on("close", () => sockets.delete(one))
      one.pipe(other)
    }
    return undefined
  })
  const port = yield* listening(server)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const socket of sockets) socket.destroy()
    })
  )
  const probe = Effect.suspend(() =>
    Effect.forEach(
      [...ready.keys()],
      (port) =>
        send(port, { client: "none", path: "/readyz" }).pipe(
          Effect.match({ onFailure: () => false, onSuccess: ({ status }) => status === 200 }),
          Effect.map((is) => (ready.has(port) ? ready.set(port, is) : undefined))
        ),
      { concurrency: "unbounded" }
    )
  )
  yield* Effect.forkScoped(Effect.repeat(probe, Schedule.spaced("100 millis")))
  return {
    port,
    add: (instance) =>
      Effect.suspend(() => {
        ready.set(instance, false)
        const isReady = Effect.sync(() => ready.get(instance))
        return Effect.asVoid(eventually(isReady, (is) => is === true))
      }),
    remove: (instance) => ready.delete(instance),
    given
  }
})
