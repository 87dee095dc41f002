/** One instance follows the cluster, and all read what it tells through Redis. */
import { Effect, FileSystem, Stream } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import { SettingError } from "../settings/SettingError.ts"
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

/** Fails where the file of Redis' authorities cannot be used. */
export const checkCaFile = Effect.fnUntraced(function* ({ caFile }: SharedCacheOptions) {
  if (caFile === undefined) return
  const fileSystem = yield* FileSystem.FileSystem
  const refuse = (problem: string) =>
    new SettingError({
      setting: "REDIS_CA_FILE",
      value: caFile,
      problem,
      fix: "Name a PEM file with the authorities of the Redis server's certificate."
    })
  const text = yield* Effect.mapError(fileSystem.readFileString(caFile), () => refuse("it cannot be read"))
  if (!text.includes("-----BEGIN CERTIFICATE-----")) return yield* refuse("it holds no certificate")
})
