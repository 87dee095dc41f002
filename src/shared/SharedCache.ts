/** One instance follows the cluster, and all read what it tells through Redis. */
import { Effect, type FileSystem, Stream } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import { readPem } from "../settings/PemFile.ts"
import { settings } from "../settings/Settings.ts"
import * as Leader from "./Leader.ts"
import * as Reader from "./Reader.ts"
import type { SharedCacheOptions } from "./SharedCacheOptions.ts"

/** What the cluster tells, by way of Redis. Each array of the stream is one step. It neither fails nor ends. */
export const events = Reader.events

/**
 * The same, from an instance that also stands by to be the one that follows the cluster. While it is, `source` runs: anew
 * each time, so it must then list the cluster anew. A defect of `source` is one of this stream.
 */
export const eventsOf = <R>(
  options: SharedCacheOptions,
  source: Stream.Stream<ClusterEvent, never, R>
): Stream.Stream<ClusterEvent, never, R | FileSystem.FileSystem> =>
  Stream.merge(events(options), Stream.fromEffectDrain(Leader.stand(options, source)))

/** Fails if the file of Redis' certificate authorities cannot be used. */
export const checkCaFile = Effect.fnUntraced(function* ({ caFile }: SharedCacheOptions) {
  if (caFile === undefined) return
  const text = yield* readPem(settings.redisCaFile, caFile)
  if (!text.includes("-----BEGIN CERTIFICATE-----")) {
    return yield* settings.redisCaFile.error(caFile, "the file holds no certificate", "Name a PEM file with one.")
  }
})
