import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import type { TLSSocket } from "node:tls"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { eventually } from "../support/Eventually.ts"
import { send } from "../support/Https.ts"
import { measured } from "../support/Measured.ts"
import { tcpConnection, tlsConnection } from "../support/Sockets.ts"
import { TestService } from "../support/TestService.ts"

const everything = "/namespaces/ANY/deployments/ANY/replica_count"
/** The responses exceed the buffers of a socket. */
const requests = 12

/** A service with a large response body, and its scope. */
const service = Effect.fnUntraced(function* (shutdownTimeout: Duration.Duration) {
  const scope = yield* Effect.acquireRelease(Scope.make(), (open) => Scope.close(open, Exit.void))
  const seeded = Effect.flatMap(EmbeddedKube, ({ cluster }) => cluster.seedMany(100, 300))
  const services = yield* Layer.buildWithScope(TestService.layer({ shutdownTimeout, unsynced: seeded }), scope)
  const { cache, port } = Context.get(services, TestService)
  yield* cache.awaitSynced
  const { body } = yield* send(port, { client: "viewer", path: everything })
  assert.isAbove(body.length * requests, 15_000_000)
  return { port, scope, bytes: body.length }
})

/** A client that has sent pipelined requests and does not read yet. */
const asking = Effect.fnUntraced(function* (port: number) {
  const socket = yield* tlsConnection({ port }, "viewer")
  socket.pause()
  // One packet, so that the server has received all of them once the first is in flight.
  socket.write(`GET ${everything} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(requests))
  yield* eventually(measured("requests_in_flight"), (count) => count > 0)
  return socket
})

/** The number of bytes until the connection closes. */
const bytesOf = (socket: TLSSocket) =>
  Effect.callback<number>((resume) => {
    let bytes = 0
    socket.on("data", (chunk: Buffer) => (bytes += chunk.length))
    socket.on("close", () => resume(Effect.succeed(bytes)))
    socket.resume()
  })

describe("responses in flight at the shutdown", () => {
  it.live("arrive in full within SHUTDOWN_TIMEOUT", () =>
    Effect.gen(function* () {
      const { bytes, port, scope } = yield* service(Duration.seconds(30))
      const socket = yield* asking(port)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* eventually(Effect.option(tcpConnection({ port })), Option.isNone)
      assert.isUndefined(closing.pollUnsafe())
      assert.isAtLeast(yield* bytesOf(socket), bytes * requests)
      yield* Fiber.join(closing)
    }).pipe(Effect.scoped)
  )

  it.live("are cut off after SHUTDOWN_TIMEOUT if the client does not read", () =>
    Effect.gen(function* () {
      const { bytes, port, scope } = yield* service(Duration.millis(300))
      const socket = yield* asking(port)
      yield* Scope.close(scope, Exit.void)
      assert.isBelow(yield* bytesOf(socket), bytes * requests)
    }).pipe(Effect.scoped)
  )
})
