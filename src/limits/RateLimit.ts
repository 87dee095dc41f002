import { Context, Effect, Layer, Metric } from "effect"
import { TooManyRequests } from "../contract/Problems.ts"
import * as TokenBuckets from "./TokenBuckets.ts"

/** What is counted apart: reads and writes of identified users, and all that the unidentified ask. */
export type Budget = "reads" | "writes" | "unidentified"

/** How much each client may ask. Rates are requests per second for each client; 0 is off. */
export interface RateLimitSettings {
  readonly rateLimitReads: number
  readonly rateLimitWrites: number
  readonly rateLimitUnidentified: number
  /** Requests a client may save up and spend at once; `undefined`: ten seconds' worth of each rate. */
  readonly rateLimitBurst: number | undefined
  /** How many clients have a bucket of their own at once, in each budget. */
  readonly rateLimitClients: number
}

const savedSeconds = 10

/** Refusals for want of tokens, by budget. */
export const rateLimited = Metric.counter("rate_limited_total", {
  description: "Requests refused because their client's token bucket was empty, by budget.",
  incremental: true
})

/**
 * Token buckets: one for each user and kind of request, one for each remote address of the unidentified.
 *
 * `take` takes a token from the bucket of `client` (a user or an address) in a budget at `nowMillis`, milliseconds since
 * the epoch. It gives `undefined` where there was one, else the error to answer with. `has` tells whether there is one and
 * takes none. They are plain functions, for they are part of every request. Each instance counts for itself.
 */
export class RateLimit extends Context.Service<
  RateLimit,
  {
    readonly take: (budget: Budget, client: string, nowMillis: number) => TooManyRequests | undefined
    readonly has: (budget: Budget, client: string, nowMillis: number) => boolean
  }
>()("kube-resource-api/limits/RateLimit") {
  /** Buckets in this process's memory. */
  static readonly layer = (settings: RateLimitSettings) =>
    Layer.effect(
      RateLimit,
      Effect.gen(function* () {
        const services = yield* Effect.context<never>()
        const limiter = (budget: Budget, perSecond: number) => {
          if (perSecond === 0) return { take: () => undefined, has: () => true }
          const burst = settings.rateLimitBurst ?? perSecond * savedSeconds
          const buckets = TokenBuckets.make({ perSecond, burst, keys: settings.rateLimitClients })
          const counter = Metric.withAttributes(rateLimited, { budget })
          const windowSeconds = Math.ceil(burst / perSecond)
          const take = (client: string, nowMillis: number) => {
            const missing = buckets.take(client, nowMillis)
            if (missing === 0) return undefined
            counter.updateUnsafe(1, services)
            return TooManyRequests.of(
              `Too many ${budget === "unidentified" ? "requests without a valid client certificate" : budget}: at most ${perSecond} a second, ${burst} at once.`,
              missing / 1000,
              { name: budget, quota: burst, windowSeconds }
            )
          }
          return { take, has: buckets.has }
        }
        const limiters = {
          reads: limiter("reads", settings.rateLimitReads),
          writes: limiter("writes", settings.rateLimitWrites),
          unidentified: limiter("unidentified", settings.rateLimitUnidentified)
        }
        return {
          take: (budget, client, nowMillis) => limiters[budget].take(client, nowMillis),
          has: (budget, client, nowMillis) => limiters[budget].has(client, nowMillis)
        }
      })
    )

  /** No limit, for tests. */
  static readonly layerUnlimited = Layer.succeed(RateLimit, { take: () => undefined, has: () => true })
}
