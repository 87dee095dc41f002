/** How fast each key's bucket fills and how much it holds. */
export interface TokenBucketsOptions {
  /** Tokens that come back each second. */
  readonly perSecond: number
  /** Tokens that a full bucket holds. */
  readonly burst: number
  /** How many keys have a bucket of their own; those beyond share one. */
  readonly keys: number
}

/** Token buckets by key, in bounded memory. */
export interface TokenBuckets {
  /**
   * Takes a token from the bucket of `key`: 0 where there was one, else the milliseconds until there will be. `nowMillis`
   * is a clock's reading; one that goes back costs a client at most what is in its bucket.
   */
  readonly take: (key: string, nowMillis: number) => number
  /** Whether `take` would give a token; takes none. */
  readonly has: (key: string, nowMillis: number) => boolean
  /** How many keys are remembered. */
  readonly size: () => number
}

const sweepMillis = 1000

/**
 * Buckets as the generic cell rate algorithm keeps them: for each key the one moment at which its bucket will be full.
 * A key whose bucket is full is forgotten, for it is like one never seen. Where all places are taken by keys whose
 * buckets are not full, others share one bucket: forgetting one of those would hand tokens to whoever makes up keys.
 */
export const make = ({ burst, keys, perSecond }: TokenBucketsOptions): TokenBuckets => {
  const perToken = 1000 / perSecond
  const whole = burst * perToken
  // Sums of fractions of a millisecond must not cost the last token.
  const tolerance = perToken * 1e-3
  const fullAt = new Map<string, number>()
  let othersFullAt = 0
  let sweptAt = -Infinity

  const sweep = (now: number) => {
    if (now - sweptAt < sweepMillis && now >= sweptAt) return
    sweptAt = now
    for (const [key, at] of fullAt) if (at <= now) fullAt.delete(key)
  }

  // No bucket is emptier than empty: where it seems so, the clock went back.
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
