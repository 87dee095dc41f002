/** The rate and size of the buckets. */
export interface TokenBucketsOptions {
  /** Tokens that a bucket gains per second. */
  readonly perSecond: number
  /** Tokens that a full bucket holds. */
  readonly burst: number
  /** The number of keys with a bucket of their own. All further keys share one bucket. */
  readonly keys: number
}

/** Token buckets by key, in bounded memory. */
export interface TokenBuckets {
  /**
   * Takes a token from the bucket of `key`. Returns 0 if there was one, else the milliseconds until there is. A clock that
   * is set back costs a client at most the content of its bucket.
   */
  readonly take: (key: string, nowMillis: number) => number
  /** Whether `take` would take a token. */
  readonly has: (key: string, nowMillis: number) => boolean
  /** The number of keys in memory. */
  readonly size: () => number
}

const sweepMillis = 1000

/**
 * Implements the generic cell rate algorithm, which keeps one time for each key: when its bucket will be full. A key
 * with a full bucket is forgotten, since it equals a new one. If all places belong to keys whose buckets are not full,
 * further keys share one bucket: forgetting a key would give tokens to clients that make up keys.
 *
 * docs/decisions/0005-own-token-buckets.md compares the costs with Effect's `RateLimiter`.
 */
export const make = ({ burst, keys, perSecond }: TokenBucketsOptions): TokenBuckets => {
  const perToken = 1000 / perSecond
  const whole = burst * perToken
  // Rounding errors must not cost the last token.
  const tolerance = perToken * 1e-3
  const fullAt = new Map<string, number>()
  let othersFullAt = 0
  let sweptAt = -Infinity

  const sweep = (now: number) => {
    if (now - sweptAt < sweepMillis && now >= sweptAt) return
    sweptAt = now
    for (const [key, at] of fullAt) if (at <= now) fullAt.delete(key)
  }

  // A time later than that of an empty bucket means that the clock was set back.
  const startOf = (before: number, now: number) => Math.min(Math.max(before, now), now + whole)

  return {
    size: () => fullAt.size,
    has: (key, now) => {
      const before = fullAt.get(key) ?? (fullAt.size < keys ? now : othersFullAt)
      return startOf(before, now) + perToken - now - whole <= tolerance
    },
    take: (key, now) => {
      const known = fullAt.get(key)
      if (known === undefined && fullAt.size >= keys) sweep(now)
      const own = known !== undefined || fullAt.size < keys
      const before = own ? (known ?? now) : othersFullAt
      const from = startOf(before, now)
      const missing = from + perToken - now - whole
      const refused = missing > tolerance
      if (!refused || from < before) {
        const after = refused ? from : from + perToken
        if (own) fullAt.set(key, after)
        else othersFullAt = after
      }
      return refused ? missing : 0
    }
  }
}
