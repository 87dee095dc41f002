import { Effect, type Scope } from "effect"
import { createServer, type Server } from "node:net"

const opened = (server: Server): Effect.Effect<number> =>
  Effect.callback((resume) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/** Listens on a free port of 127.0.0.1 until the scope closes, and returns the port. */
export const listening = (server: Server): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(opened(server), () => Effect.sync(() => server.close()))

/** A port that was free a moment ago. */
export const freePort: Effect.Effect<number> = Effect.acquireUseRelease(
  Effect.sync(() => createServer()),
  opened,
  (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
)
