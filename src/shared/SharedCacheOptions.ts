import { Duration, type Redacted } from "effect"
import type { NamespaceName } from "../contract/Names.ts"
import type { RedisOptions } from "./SharedRedis.ts"

/** How a cluster's state is shared through Redis. */
export interface SharedCacheOptions {
  /** `redis://` or `rediss://`, with user and password. */
  readonly url: Redacted.Redacted<string>
  /** The authorities of the Redis server's certificate, a PEM file; the public ones if absent. */
  readonly caFile?: string | undefined
  /** What all keys begin with. */
  readonly keyPrefix: string
  /** How long after its last word a leader is gone. */
  readonly lease: Duration.Duration
  /**
   * How long a leader goes on that cannot watch all that it is to, before it lets others try; twice as long each time that
   * nothing came of it. Default: four leases, and two minutes at least.
   */
  readonly patience?: Duration.Duration | undefined
  /** The only namespaces that are watched, each by itself; absent, the whole cluster. */
  readonly namespaces?: ReadonlyArray<NamespaceName> | undefined
  /** About how many entries the log keeps. Default: 4096. */
  readonly maxEntries?: number | undefined
  /** The first and the longest wait after failures. Default: 0.2 and 10 seconds. */
  readonly backoffFirst?: Duration.Input | undefined
  readonly backoffLongest?: Duration.Input | undefined
}

/** How often a leader says that it lives, and the longest that a reader waits for news before it looks around. */
export const beatEvery = ({ lease }: SharedCacheOptions): Duration.Duration =>
  Duration.min(Duration.millis(Math.floor(Duration.toMillis(lease) / 3)), Duration.seconds(5))

/** A leader's patience with the cluster, at first. */
export const patienceOf = ({ lease, patience }: SharedCacheOptions): Duration.Duration =>
  patience ?? Duration.max(Duration.times(lease, 4), Duration.minutes(2))

/** How Redis is spoken to, so that a leader finds out that it cannot before its lease is over. */
export const redisOptions = (options: SharedCacheOptions): RedisOptions => ({
  url: options.url,
  caFile: options.caFile,
  commandTimeout: beatEvery(options),
  silenceLimit: Duration.times(beatEvery(options), 3)
})
