/** The shared cache: the leader watches the cluster and writes to Redis, and every instance reads that. */
import { Effect, type FileSystem, Stream } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import type { ClusterIdentity } from "../model/ClusterIdentity.ts"
import { readPem } from "../settings/PemFile.ts"
import { settings } from "../settings/Settings.ts"
import * as Leader from "./Leader.ts"
import * as Reader from "./Reader.ts"
import type { SharedCacheOptions } from "./SharedCacheOptions.ts"

/** The events of the cluster, from Redis. Each array of the stream is one step. It neither fails nor ends. */
export const events = Reader.events

/**
 * The same, on an instance that also stands by as leader. Each leadership runs `source` from the start, so `source` must
 * begin with lists. A defect of `source` is a defect of this stream.
 */
export const eventsOf = <R>(
  options: SharedCacheOptions,
  source: Stream.Stream<ClusterEvent, never, R>
): Stream.Stream<ClusterEvent, never, R | ClusterIdentity | FileSystem.FileSystem> =>
  Stream.merge(events(options), Stream.fromEffectDrain(Leader.stand(options, source)))

/** Fails if the CA file of Redis cannot be used. */
export const checkCaFile = Effect.fnUntraced(function* ({ caFile }: SharedCacheOptions) {
  if (caFile === undefined) return
  const text = yield* readPem(settings.redisCaFile, caFile, "Name a PEM file with the CAs of the Redis server.")
  if (!text.includes("-----BEGIN CERTIFICATE-----")) {
    return yield* settings.redisCaFile.error(caFile, "the file holds no certificate", "Name a PEM file with one.")
  }
})
