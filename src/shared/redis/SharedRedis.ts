/** Connections to the Redis server, with timeouts and readable failures. */
import { Cause, Context, Duration, Effect, Exit, Fiber, Layer, References, Result, type Schema, Scope } from "effect"
import { Redis, RedisError } from "effect/persistence/Redis"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { clientOptions, type ConnectionOptions } from "./ClientOptions.ts"

/** An open connection. */
export interface Connection {
  readonly redis: Redis["Service"]
  /** Closes the socket, so that every command fails. */
  readonly end: Effect.Effect<void>
}

/** The failure of a command. */
export const failed = (cause: unknown) => new RedisError({ cause })

/** Fails if there is no reply in time. The command may still have run. */
export const within =
  (limit: Duration.Duration) =>
  <A, R>(command: Effect.Effect<A, RedisError, R>): Effect.Effect<A, RedisError, R> =>
    Effect.timeoutOrElse(command, {
      duration: limit,
      orElse: () => Effect.fail(failed(new Cause.TimeoutError(`no reply within ${Duration.toMillis(limit)} ms`)))
    })

/**
 * Opens a connection for this caller alone, until the scope closes. It never reconnects and never retries a command: once
 * broken, every command fails, and the caller connects again.
 */
export const open = Effect.fnUntraced(function* (
  options: ConnectionOptions
): Effect.fn.Return<Connection, RedisError, Scope.Scope> {
  const connecting = new AbortController()
  const scope = yield* Scope.make()
  const opened = Layer.buildWithScope(
    NodeRedis.layer(clientOptions(options, connecting.signal)),
    scope
    // The client logs each failed attempt; the caller logs the first of a series.
  ).pipe(Effect.provideService(References.MinimumLogLevel, "None"), Effect.uninterruptible)
  // If interrupted while connecting, the layer's finalizer would wait forever. So the attempt is aborted instead.
  const opening = yield* Effect.uninterruptible(
    Effect.tap(Effect.forkScoped(opened), (fiber) =>
      Effect.addFinalizer(() =>
        Effect.sync(() => connecting.abort()).pipe(
          Effect.andThen(Fiber.await(fiber)),
          Effect.andThen(Scope.close(scope, Exit.void))
        )
      )
    )
  )
  const services = yield* within(options.commandTimeout)(Fiber.join(opening))
  const end = Effect.sync(() => Context.get(services, NodeRedis.NodeRedis).client.destroy())
  // Runs before the layer's own finalizer, which waits for commands in flight.
  yield* Effect.addFinalizer(() => end)
  return { redis: Context.get(services, Redis), end }
})

/** A reply that no leader or Redis version gives. It ends the connection like any other failure. */
export const unreadable = failed(new Error("unreadable reply"))

/** The decoded reply; fails as `unreadable` otherwise. */
export const readable = <A>(decoded: Result.Result<A, Schema.SchemaError>): Effect.Effect<A, RedisError> =>
  Effect.mapError(Effect.fromResult(decoded), () => unreadable)

/** The message of the server, the system or TLS. None of them contains a secret. */
export const reasonOf = ({ cause }: RedisError): string => {
  const first = cause instanceof AggregateError ? cause.errors[0] : cause
  const reason = first instanceof Error ? first.message || first.name : String(first)
  // A Redis Cluster whose mode is hidden, by a proxy for example, still refuses commands with these errors.
  return /^(?:MOVED|CROSSSLOT|CLUSTERDOWN)\b/.test(reason) ? `${reason} (Redis Cluster is not supported)` : reason
}

/** Whether Redis refused a command because it is out of memory. */
export const isOutOfMemory = (error: RedisError): boolean => reasonOf(error).startsWith("OOM ")

/** The server's `maxmemory`, as it prints it; "unknown" if it does not report it. */
export const maxMemory = (redis: Redis["Service"], limit: Duration.Duration): Effect.Effect<string> =>
  within(limit)(redis.send("INFO", "memory")).pipe(
    Effect.map((info) => /^maxmemory_human:(\S+)/m.exec(String(info))?.[1] ?? "unknown"),
    Effect.orElseSucceed(() => "unknown")
  )
