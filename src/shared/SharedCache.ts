/** The shared cache: the leader watches the cluster and writes to Redis, and every instance reads that. */
import { Duration, Effect, type FileSystem, Result, Stream } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import type { ClusterIdentity } from "../model/ClusterIdentity.ts"
import { formatHostPort } from "../settings/Kind.ts"
import { readPem } from "../settings/PemFile.ts"
import { settings } from "../settings/Settings.ts"
import * as Leader from "./leader/Leader.ts"
import * as Reader from "./reader/Reader.ts"
import * as RedisSession from "./redis/RedisSession.ts"
import { redisOptions, type SharedCacheOptions } from "./SharedCacheOptions.ts"

/** The events of the cluster, from Redis. Each array of the stream is one step. It neither fails nor ends. */
export const events = Reader.events

/**
 * The same, on an instance that is also a candidate for leader. Each term runs `source` from the start, so `source` must
 * begin with lists. A defect of `source` is a defect of this stream.
 */
export const eventsOf = <R>(
  options: SharedCacheOptions,
  source: Stream.Stream<ClusterEvent, never, R>
): Stream.Stream<ClusterEvent, never, R | ClusterIdentity | FileSystem.FileSystem> =>
  Stream.merge(events(options), Stream.fromEffectDrain(Leader.stand(options, source)))

/** The timeout of each step of the check at the start. */
const startCheckLimit = Duration.seconds(2)

/**
 * Fails if the CA file cannot be used, or if the server reports that it is a node of a Redis Cluster or a Sentinel. A server
 * that does not answer is no failure: instances start without Redis and wait for it.
 */
export const checkServer = Effect.fnUntraced(function* (options: SharedCacheOptions) {
  yield* checkCaFile(options)
  const session = redisOptions(options)
  const commandTimeout = Duration.min(session.commandTimeout, startCheckLimit)
  const attempt = Effect.scoped(RedisSession.connect({ ...session, commandTimeout }))
  const outcome = yield* Effect.result(attempt)
  if (Result.isFailure(outcome) && outcome.failure.cause instanceof RedisSession.UnsupportedServer) {
    const { fix, problem } = outcome.failure.cause
    const { server } = options
    return yield* server._tag === "Url"
      ? settings.redisUrl.error("", problem, fix)
      : settings.redisSentinels.error(server.sentinels.map(formatHostPort).join(","), problem, fix)
  }
})

const checkCaFile = Effect.fnUntraced(function* ({ caFile }: SharedCacheOptions) {
  if (caFile === undefined) return
  const text = yield* readPem(settings.redisCaFile, caFile, "Name a PEM file with the CAs of the Redis server.")
  if (!text.includes("-----BEGIN CERTIFICATE-----")) {
    return yield* settings.redisCaFile.error(caFile, "the file holds no certificate", "Name a PEM file with one.")
  }
})
