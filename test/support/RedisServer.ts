import { Context, Effect, Layer, Redacted, Schedule, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createServer } from "node:net"
import { createClient } from "redis"

/** A port that was free a moment ago. */
const freePort = Effect.promise(async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
})

/** A real Redis, which keeps nothing on disk and can be taken down and brought up again, empty, on the same port. */
export class RedisServer extends Context.Service<
  RedisServer,
  {
    readonly port: number
    readonly url: Redacted.Redacted<string>
    /** Sends one command on a connection of its own. */
    readonly command: (...words: ReadonlyArray<string>) => Effect.Effect<unknown>
    readonly stop: Effect.Effect<void>
    readonly start: Effect.Effect<void>
  }
>()("test/RedisServer") {
  /** `settings`: as in redis.conf, name and value; `url`: what the test's own commands connect by. */
  static readonly layer = (
    settings: ReadonlyArray<string> = [],
    url = (port: number) => `redis://127.0.0.1:${port}`
  ): Layer.Layer<RedisServer> =>
    Layer.effect(
      RedisServer,
      Effect.gen(function* () {
        const port = yield* freePort
        let running: ChildProcess | undefined

        const command = (...words: ReadonlyArray<string>): Effect.Effect<unknown> =>
          Effect.acquireUseRelease(
            Effect.sync(() => {
              const client = createClient({
                url: url(port),
                RESP: 2,
                socket: {
                  reconnectStrategy: false,
                  ...(url(port).startsWith("rediss:") ? { tls: true as const, rejectUnauthorized: false } : {})
                }
              })
              client.on("error", () => {})
              return client
            }),
            (client) => Effect.promise(() => client.connect().then(() => client.sendCommand([...words]))),
            (client) => Effect.sync(() => client.destroy())
          )

        const start = Effect.gen(function* () {
          if (running !== undefined) return
          running = spawn(
            new URL("../../.dev/redis/redis-server", import.meta.url).pathname,
            [
              "--port",
              url(port).startsWith("rediss:") ? "0" : String(port),
              "--bind",
              "127.0.0.1",
              "--save",
              ""
            ].concat(settings.map((word) => word.replaceAll("$PORT", String(port)))),
            { stdio: "ignore" }
          )
          yield* Effect.retry(
            Effect.catchDefect(command("PING"), (defect) => Effect.fail(defect)),
            Schedule.spaced("10 millis")
          )
        }).pipe(Effect.timeout("10 seconds"), Effect.orDie)

        const stop = Effect.promise(async () => {
          const child = running
          running = undefined
          if (child === undefined || child.exitCode !== null) return
          child.kill("SIGKILL")
          await once(child, "exit")
        })

        yield* Effect.acquireRelease(start, () => stop)
        return { port, url: Redacted.make(url(port)), command, start, stop }
      })
    )
}

/** Needs the scope alone: for tests that start a server each. */
export const started = (
  ...settings: ReadonlyArray<string>
): Effect.Effect<RedisServer["Service"], never, Scope.Scope> =>
  Effect.map(Layer.build(RedisServer.layer(settings)), (services) => Context.get(services, RedisServer))
