import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { createServer } from "node:net"
import { eventually } from "../support/Eventually.ts"
import { send } from "../support/Https.ts"
import { demoSettings, type Instance, start } from "../support/Process.ts"
import { RedisServer } from "../support/RedisServer.ts"

const shared = { ...demoSettings, CACHE: "redis", DRAIN_PERIOD: "0s" }

/** A server that accepts connections and never answers. */
const silent = Effect.acquireRelease(
  Effect.callback<{ readonly port: number; readonly accepted: () => number; readonly close: () => void }>((resume) => {
    const sockets = new Set<{ readonly destroy: () => unknown }>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
    })
    const close = () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    }
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = address === null || typeof address === "string" ? 0 : address.port
      resume(Effect.succeed({ port, accepted: () => sockets.size, close }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

/** Shuts an instance down; returns the seconds until it has ended. */
const shutDown = Effect.fnUntraced(function* ({ child, exited }: Instance) {
  const began = performance.now()
  child.kill("SIGTERM")
  assert.strictEqual(yield* exited, 0)
  return (performance.now() - began) / 1000
})

describe("an instance whose Redis does not answer", () => {
  for (const scheme of ["redis", "rediss"]) {
    it.live(`shuts down in time while it connects to ${scheme}://`, () =>
      Effect.gen(function* () {
        const { accepted, port } = yield* silent
        const instance = yield* start({ ...shared, REDIS_URL: `${scheme}://127.0.0.1:${port}` })
        yield* instance.port
        // Its reader and its candidate.
        yield* eventually(accepted, (count) => count >= 2)
        assert.isBelow(yield* shutDown(instance), 4)
      }).pipe(Effect.scoped)
    )
  }

  it.live("shuts down in time as leader", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const instance = yield* start({ ...shared, REDIS_URL: Redacted.value(redis.url) })
      const port = yield* instance.port
      yield* eventually(send(port, { client: "none", path: "/readyz" }), ({ status }) => status === 200)
      yield* redis.command("CLIENT", "PAUSE", "60000", "ALL")
      assert.isBelow(yield* shutDown(instance), 4)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )
})
