/** The connection to the configured Redis server, by its URL or through Sentinels. */
import { Data, type Duration, Effect, FileSystem, Option, type Redacted, Schema, type Scope } from "effect"
import type { Redis, RedisError } from "effect/persistence/Redis"
import { formatHostPort } from "../../settings/Kind.ts"
import type * as ClientOptions from "./ClientOptions.ts"
import * as Sentinels from "./Sentinels.ts"
import * as SharedRedis from "./SharedRedis.ts"

/** The Redis server. */
export type RedisAddress =
  | {
      readonly _tag: "Url"
      /** `redis://` or `rediss://`, with user and password. */
      readonly url: Redacted.Redacted<string>
    }
  | Sentinels.Sentinels

/** Address and timeouts of a session. */
export interface SessionOptions {
  readonly server: RedisAddress
  /** A PEM file with the CAs of the Redis servers. Each session reads it. Default: the public ones. */
  readonly caFile?: string | undefined
  /** The timeout of connecting, and of a command. */
  readonly commandTimeout: Duration.Duration
  /** The timeout of a silent connection; longer than any command blocks. */
  readonly silenceLimit: Duration.Duration
}

/** A server that this service does not support: a retry cannot succeed. */
export class UnsupportedServer extends Data.TaggedError("UnsupportedServer")<{
  readonly problem: string
  readonly fix: string
}> {
  override get message(): string {
    return `${this.problem}. ${this.fix}`
  }
}

const clusterNode = new UnsupportedServer({
  problem: "the server is a node of a Redis Cluster, which is not supported",
  fix: "Use a Redis server with cluster mode disabled, with Sentinels or without."
})
const sentinel = new UnsupportedServer({
  problem: "the server is a Redis Sentinel, which holds no data",
  fix: "Name it in REDIS_SENTINELS, or give the URL of the Redis server."
})

/**
 * Opens a connection for this caller alone, until the scope closes. It never reconnects: once broken, every command fails, and the
 * caller connects again. With Sentinels it also ends after a failover, even if the old primary still answers.
 */
export const connect = Effect.fnUntraced(function* (
  options: SessionOptions
): Effect.fn.Return<Redis["Service"], RedisError, FileSystem.FileSystem | Scope.Scope> {
  const { caFile, commandTimeout, server } = options
  const fileSystem = yield* FileSystem.FileSystem
  const ca =
    caFile === undefined ? undefined : yield* Effect.mapError(fileSystem.readFileString(caFile), SharedRedis.failed)
  const connection = { ...options, ca }
  if (server._tag === "Sentinels") return yield* connectToPrimary(server, connection)
  const { redis } = yield* SharedRedis.open({ ...connection, url: server.url })
  // A server that does not report its mode is accepted.
  const told = yield* Effect.option(hello(redis, commandTimeout))
  if (Option.isSome(told)) yield* checkMode(told.value)
  return session(redis, commandTimeout, (error) => error)
})

const connectToPrimary = Effect.fnUntraced(function* (
  sentinels: Sentinels.Sentinels,
  connection: Omit<ClientOptions.ConnectionOptions, "url">
) {
  const { commandTimeout } = connection
  const primary = yield* Sentinels.primary(sentinels, connection)
  const url = Sentinels.serverUrl(sentinels, primary.address)
  const { end, redis } = yield* SharedRedis.open({ ...connection, url })
  const told = yield* hello(redis, commandTimeout)
  yield* checkMode(told)
  if (told.role !== "master") {
    const address = formatHostPort(primary.address)
    return yield* SharedRedis.failed(new Error(`${address}, which the Sentinels name, is not a primary`))
  }
  let failover: RedisError | undefined
  yield* Effect.forkScoped(
    Effect.flatMap(Sentinels.untilFailover(sentinels, connection, primary, commandTimeout), (address) => {
      failover = SharedRedis.failed(new Error(`the Sentinels made ${formatHostPort(address)} the primary`))
      return end
    })
  )
  return session(redis, commandTimeout, (error) => failover ?? error)
})

const session = (
  redis: Redis["Service"],
  commandTimeout: Duration.Duration,
  reason: (error: RedisError) => RedisError
): Redis["Service"] => ({
  ...redis,
  send: (command, ...words) => Effect.mapError(redis.send(command, ...words), reason),
  eval:
    (script) =>
    (...params) =>
      redis
        .eval(script)(...params)
        .pipe(SharedRedis.within(commandTimeout), Effect.mapError(reason))
})

interface Told {
  readonly mode: unknown
  readonly role: unknown
}

const decodeHello = Schema.decodeUnknownResult(Schema.Array(Schema.Unknown))

/** The mode and the role of the server. */
const hello = Effect.fnUntraced(function* (redis: Redis["Service"], commandTimeout: Duration.Duration) {
  const reply = yield* SharedRedis.within(commandTimeout)(redis.send("HELLO"))
  const fields = yield* SharedRedis.readable(decodeHello(reply))
  const valueOf = (name: string) => fields[fields.indexOf(name) + 1]
  return { mode: valueOf("mode"), role: valueOf("role") } satisfies Told
})

const checkMode = ({ mode }: Told): Effect.Effect<void, RedisError> =>
  mode === "cluster"
    ? Effect.fail(SharedRedis.failed(clusterNode))
    : mode === "sentinel"
      ? Effect.fail(SharedRedis.failed(sentinel))
      : Effect.void
