/** Connections to the Redis server, with timeouts and readable failures. */
import {
  Cause,
  Context,
  Duration,
  Effect,
  Fiber,
  FileSystem,
  Layer,
  Redacted,
  References,
  Result,
  type Schema,
  type Scope
} from "effect"
import { Redis, RedisError } from "effect/persistence/Redis"
import * as NodeRedis from "@effect/platform-node/NodeRedis"

/** Address and timeouts of a connection. */
export interface RedisOptions {
  /** `redis://` or `rediss://`, with user and password. */
  readonly url: Redacted.Redacted<string>
  /** A PEM file with the authorities of the server's certificate. Each connection reads it. Default: the public ones. */
  readonly caFile?: string | undefined
  /** The timeout of connecting, and of a command. */
  readonly commandTimeout: Duration.Duration
  /** The timeout of a silent connection; longer than any command blocks. */
  readonly silenceLimit: Duration.Duration
}

const failed = (cause: unknown) => new RedisError({ cause })

/** Fails if there is no reply in time. The command may have run all the same. */
export const within =
  (limit: Duration.Duration) =>
  <A, R>(command: Effect.Effect<A, RedisError, R>): Effect.Effect<A, RedisError, R> =>
    Effect.timeoutOrElse(command, {
      duration: limit,
      orElse: () => Effect.fail(failed(new Cause.TimeoutError(`no reply within ${Duration.toMillis(limit)} ms`)))
    })

/** Opens a connection that the end of the scope destroys. */
const opened = Effect.fnUntraced(function* (options: Parameters<typeof NodeRedis.layer>[0]) {
  const services = yield* Layer.build(NodeRedis.layer(options)).pipe(
    // The client logs each failed attempt; the caller logs the first of a series.
    Effect.provideService(References.MinimumLogLevel, "None")
  )
  // Runs before the layer's own finalizer, which waits for commands in flight.
  yield* Effect.addFinalizer(() => Effect.sync(() => Context.get(services, NodeRedis.NodeRedis).client.destroy()))
  return services
})

/**
 * Aborts the signal when it is interrupted, and waits for the end of `open`. If the layer itself were interrupted, its
 * finalizer would wait without end for replies to the first commands.
 */
const interruptible = <A, E, R>(open: (signal: AbortSignal) => Effect.Effect<A, E, R>) =>
  Effect.uninterruptibleMask(
    Effect.fnUntraced(function* (restore) {
      const controller = new AbortController()
      const opening = yield* Effect.forkChild(open(controller.signal), { uninterruptible: true })
      return yield* Effect.onInterrupt(restore(Fiber.join(opening)), () => {
        controller.abort()
        return Fiber.await(opening)
      })
    })
  )

/**
 * A connection of the caller's own, until the scope closes. It never reconnects: once broken, every command fails, and the
 * caller connects again.
 */
export const connect = Effect.fnUntraced(function* ({
  caFile,
  commandTimeout,
  silenceLimit,
  url
}: RedisOptions): Effect.fn.Return<Redis["Service"], RedisError, FileSystem.FileSystem | Scope.Scope> {
  const fileSystem = yield* FileSystem.FileSystem
  const ca = caFile === undefined ? undefined : yield* Effect.mapError(fileSystem.readFileString(caFile), failed)
  const services = yield* interruptible((signal) => {
    const socket = {
      reconnectStrategy: false as const,
      connectTimeout: Duration.toMillis(commandTimeout),
      socketTimeout: Duration.toMillis(silenceLimit),
      signal
    }
    return opened({
      url: Redacted.value(url),
      // The form of replies must not depend on the version of the server.
      RESP: 2,
      disableOfflineQueue: true,
      // One caller has a command or two in flight. This reveals a leak.
      commandsQueueMaxLength: 64,
      name: "kube-resource-api",
      socket: ca === undefined ? socket : { ...socket, tls: true, ca }
    })
  })
  const redis = Context.get(services, Redis)
  const limited = within(commandTimeout)
  return {
    ...redis,
    eval:
      (script) =>
      (...params) =>
        limited(redis.eval(script)(...params))
  }
})

/** A reply that no leader or Redis version gives. It ends the connection like any other failure. */
export const unreadable = failed(new Error("unreadable reply"))

/** The decoded reply; fails as `unreadable` otherwise. */
export const readable = <A>(decoded: Result.Result<A, Schema.SchemaError>): Effect.Effect<A, RedisError> =>
  Effect.mapError(Effect.fromResult(decoded), () => unreadable)

/** The message of the server, the system or TLS. None of them contains a secret. */
export const reasonOf = ({ cause }: RedisError): string => {
  const first = cause instanceof AggregateError ? cause.errors[0] : cause
  return first instanceof Error ? first.message || first.name : String(first)
}

/** Whether Redis refused a command because it is out of memory. */
export const isOutOfMemory = (error: RedisError): boolean => reasonOf(error).startsWith("OOM ")

/** The memory limit of the server, as it prints it. It may keep it to itself. */
export const maxMemory = (redis: Redis["Service"], limit: Duration.Duration): Effect.Effect<string> =>
  within(limit)(redis.send("INFO", "memory")).pipe(
    Effect.map((info) => /^maxmemory_human:(\S+)/m.exec(String(info))?.[1] ?? "unknown"),
    Effect.orElseSucceed(() => "unknown")
  )
