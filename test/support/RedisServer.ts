import { Context, Effect, Layer, Redacted, Schedule, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createClient } from "redis"
import { freePort } from "./Ports.ts"

/** A real Redis without persistence. It can be stopped and started again, empty, on the same port. */
export class RedisServer extends Context.Service<
  RedisServer,
  {
    readonly port: number
    readonly url: Redacted.Redacted<string>
    /** Sends one command on a new connection. */
    readonly command: (...words: ReadonlyArray<string>) => Effect.Effect<unknown>
    readonly stop: Effect.Effect<void>
    readonly start: Effect.Effect<void>
    /** Stops the process without closing its connections, until `thaw`. */
    readonly freeze: Effect.Effect<void>
    readonly thaw: Effect.Effect<void>
  }
>()("test/RedisServer") {
  /** `settings` are words of the command line, perhaps after the name of a configuration file. `url` is what the test's own commands connect to. */
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
            settings
              .map((word) => word.replaceAll("$PORT", String(port)))
              .concat("--port", url(port).startsWith("rediss:") ? "0" : String(port))
              .concat("--bind", "127.0.0.1", "--save", ""),
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

        const signal = (signal: "SIGSTOP" | "SIGCONT") => Effect.sync(() => void running?.kill(signal))

        yield* Effect.acquireRelease(start, () => stop)
        return {
          port,
          url: Redacted.make(url(port)),
          command,
          start,
          stop,
          freeze: signal("SIGSTOP"),
          thaw: signal("SIGCONT")
        }
      })
    )
}

/** A server that ends with the scope. */
export const started = (
  ...settings: ReadonlyArray<string>
): Effect.Effect<RedisServer["Service"], never, Scope.Scope> =>
  Effect.map(Layer.build(RedisServer.layer(settings)), (services) => Context.get(services, RedisServer))
