import { Duration } from "effect"
import type { NamespaceName } from "../contract/Names.ts"
import type { RedisAddress, SessionOptions } from "./redis/RedisSession.ts"

/** How the state of a cluster is shared through Redis. */
export interface SharedCacheOptions {
  /** The Redis server. */
  readonly server: RedisAddress
  /** A PEM file with the CAs of the Redis servers. Default: the public ones. */
  readonly caFile?: string | undefined
  /** The prefix of all keys. */
  readonly keyPrefix: string
  /** Leader lease duration. */
  readonly lease: Duration.Duration
  /**
   * How long a leader that cannot watch all of the cluster goes on before it lets others try. It doubles with each failed
   * attempt. Default: four leases, and at least two minutes.
   */
  readonly patience?: Duration.Duration | undefined
  /** The namespaces to watch, each by itself. Default: the whole cluster. */
  readonly namespaces?: ReadonlyArray<NamespaceName> | undefined
  /** The approximate length of the log, in entries. Default: 4096. */
  readonly maxEntries?: number | undefined
  /** The first and the longest wait after failures. Default: 0.2 and 10 seconds. */
  readonly backoffFirst?: Duration.Input | undefined
  readonly backoffLongest?: Duration.Input | undefined
}

/** The waits after failures, with their defaults. */
export const backoffOf = ({ backoffFirst, backoffLongest }: SharedCacheOptions) => ({
  first: backoffFirst ?? "200 millis",
  longest: backoffLongest ?? "10 seconds"
})

/** The interval at which the leader renews its lease, and the timeout of a command. */
export const renewEvery = ({ lease }: SharedCacheOptions): Duration.Duration =>
  Duration.min(Duration.millis(Math.floor(Duration.toMillis(lease) / 3)), Duration.seconds(5))

/** The interval of the leader's heartbeat. */
export const beatEvery = (options: SharedCacheOptions): Duration.Duration =>
  Duration.min(renewEvery(options), Duration.millis(300))

/** Missed heartbeats after which readers consider the leader gone. */
export const missedBeats = 3

/** A leader's patience with the cluster on its first attempt. */
export const patienceOf = ({ lease, patience }: SharedCacheOptions): Duration.Duration =>
  patience ?? Duration.max(Duration.times(lease, 4), Duration.minutes(2))

/** The session's address and timeouts: a leader notices a dead Redis before its lease expires. */
export const redisOptions = (options: SharedCacheOptions): SessionOptions => ({
  server: options.server,
  caFile: options.caFile,
  commandTimeout: renewEvery(options),
  silenceLimit: Duration.times(renewEvery(options), 3)
})
