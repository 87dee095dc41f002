import { Effect, FiberSet } from "effect"
import type { Server } from "node:net"

/**
 * Logs the errors of a server that listens: of connections that cannot be accepted, as for want of memory or of files.
 * Node would end the process for one that nobody listens for.
 */
export const logged = (server: Server) =>
  Effect.map(FiberSet.makeRuntime<never, void, never>(), (fork) => {
    server.once("listening", () => {
      server.on("error", (error) => fork(Effect.logError("A connection could not be accepted", error)))
    })
  })
