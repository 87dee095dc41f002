import { Effect, type Scope } from "effect"
import { connect, createServer, type Socket } from "node:net"
import { send } from "./Https.ts"

/** A balancer of TCP connections over the ports that are ready, as a Service of Kubernetes is. */
export interface TcpBalancer {
  readonly port: number
  /** Adds an instance; it gets connections once its `/readyz` says 200, and no new ones from when it says anything else. */
  readonly add: (instance: number) => void
  readonly remove: (instance: number) => void
  /** Waits until the instance gets connections. */
  readonly awaitReady: (instance: number) => Effect.Effect<void>
  /** How many connections each instance has been given. */
  readonly given: ReadonlyMap<number, number>
}

/** Asks each instance for its readiness this often. */
const probeEveryMillis = 100

/** A balancer for the scope's time. */
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
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.sync(() => {
        server.close()
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
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(probe, Effect.sleep(probeEveryMillis))))
  const address = server.address()
  const awaitReady = (instance: number): Effect.Effect<void> =>
    Effect.suspend(() =>
      ready.get(instance) === true ? Effect.void : Effect.andThen(Effect.sleep(20), awaitReady(instance))
    )
  return {
    port: address === null || typeof address === "string" ? 0 : address.port,
    add: (instance) => ready.set(instance, false),
    remove: (instance) => ready.delete(instance),
    awaitReady,
    given
  }
})
