/** Connections to the Redis server: what they may take, and what is told of their trouble. */
import {
  Cause,
  Context,
  Duration,
  Effect,
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

/** Where the Redis server is and how it is spoken to. */
export interface RedisOptions {
  /** `redis://` or `rediss://`, with user and password. */
  readonly url: Redacted.Redacted<string>
  /** The authorities of the server's certificate, a PEM file that is read for each connection; the public ones if absent. */
  readonly caFile?: string | undefined
  /** How long a connection may take to be made, and a command to be answered. */
  readonly commandTimeout: Duration.Duration
  /** How long a connection may be silent; longer than any command may wait for news. */
  readonly silenceLimit: Duration.Duration
}

const failed = (cause: unknown) => new RedisError({ cause })

/** Fails where a command has not been answered in time. Whether it was carried out is then not known. */
export const within =
  (limit: Duration.Duration) =>
  <A, R>(command: Effect.Effect<A, RedisError, R>): Effect.Effect<A, RedisError, R> =>
    Effect.timeoutOrElse(command, {
      duration: limit,
      orElse: () => Effect.fail(failed(new Cause.TimeoutError(`no answer within ${Duration.toMillis(limit)} ms`)))
    })

/**
 * A connection for the caller alone, for as long as the scope is open. It is made once: where it breaks, whatever is asked
 * of it fails, and the caller makes another.
 */
export const connect = Effect.fnUntraced(function* ({
  caFile,
  commandTimeout,
  silenceLimit,
  url
}: RedisOptions): Effect.fn.Return<Redis["Service"], RedisError, FileSystem.FileSystem | Scope.Scope> {
  const fileSystem = yield* FileSystem.FileSystem
  const ca = caFile === undefined ? undefined : yield* Effect.mapError(fileSystem.readFileString(caFile), failed)
  const socket = {
    reconnectStrategy: false as const,
    connectTimeout: Duration.toMillis(commandTimeout),
    socketTimeout: Duration.toMillis(silenceLimit)
  }
  const opened = Effect.gen(function* () {
    const services = yield* Layer.build(
      NodeRedis.layer({
        url: Redacted.value(url),
        // Replies as they are, of a form that does not depend on the version of the server.
        RESP: 2,
        disableOfflineQueue: true,
        // A connection of one caller's has a command or two under way, and this is where more would show.
        commandsQueueMaxLength: 64,
        name: "kube-resource-api",
        socket: ca === undefined ? socket : { ...socket, tls: true, ca }
      })
      // It logs each attempt that fails; the caller is told of them and says so once.
    ).pipe(Effect.provideService(References.MinimumLogLevel, "None"))
    // Before the layer's own end, which waits for what is under way.
    yield* Effect.addFinalizer(() => Effect.sync(() => Context.get(services, NodeRedis.NodeRedis).client.destroy()))
    return services
  })
  // In the midst of it, the layer's own end would wait for ever. The limits of the socket bound how long it takes.
  const services = yield* Effect.uninterruptible(opened)
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

/** What an answer was decoded to; one that could not be is an error like any other of the connection. */
export const readable = <A>(decoded: Result.Result<A, Schema.SchemaError>): Effect.Effect<A, RedisError> =>
  Result.isSuccess(decoded)
    ? Effect.succeed(decoded.success)
    : Effect.fail(failed(new Error("an answer that cannot be read")))

/** What went wrong, in the words of the server, of the system or of TLS; none of them hold a secret. */
export const reasonOf = ({ cause }: RedisError): string => {
  const first = cause instanceof AggregateError ? cause.errors[0] : cause
  return first instanceof Error ? first.message || first.name : String(first)
}
