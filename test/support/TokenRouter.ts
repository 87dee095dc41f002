import { Effect, type Scope } from "effect"
import { connect, createServer, type Socket } from "node:net"
import { listening } from "./Ports.ts"

/**
 * Passes connections on by the bearer token of their first request: several embedded clusters, each with its own RBAC rules,
 * then look like one cluster. Succeeds with the URL; ends with the scope.
 */
export const make = (urls: ReadonlyMap<string, string>): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<Socket>()
    const server = createServer((client) => {
      sockets.add(client)
      client.once("data", (first) => {
        const token = /^authorization: bearer (\S+)/im.exec(first.toString())?.[1]
        const url = urls.get(token ?? "")
        if (url === undefined) return client.destroy()
        const upstream = connect(Number(new URL(url).port), "127.0.0.1")
        sockets.add(upstream)
        upstream.write(first)
        for (const [one, other] of [
          [client, upstream],
          [upstream, client]
        ] as const) {
          one.on("close", () => other.destroy())
          one.pipe(other)
        }
        upstream.on("error", () => client.destroy())
        return undefined
      })
      client.on("error", () => client.destroy())
    })
    const port = yield* listening(server)
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
      })
    )
    return `http://127.0.0.1:${port}`
  })
