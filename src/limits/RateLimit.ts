import { Context, Effect, Layer, Metric } from "effect"
import type { Settings } from "../settings/Settings.ts"
import { TooManyRequests } from "../contract/Problems.ts"
import * as TokenBuckets from "./TokenBuckets.ts"

/** A budget: reads or writes of identified users, or all requests of unidentified clients. */
export type Budget = "reads" | "writes" | "unidentified"

/** The settings of rate limits. A rate of 0 is no limit. */
export type RateLimitSettings = Pick<
  Settings,
  "rateLimitReads" | "rateLimitWrites" | "rateLimitUnidentified" | "rateLimitBurst" | "rateLimitClients"
>

const defaultBurstSeconds = 10

/** Rate-limited requests, by budget. */
export const rateLimited = Metric.counter("rate_limited_total", {
  description: "Requests refused because the client's token bucket was empty, by budget.",
  incremental: true
})

/**
 * Limits the rate of each client: a token bucket for each user and kind of request, and for each remote address of
 * unidentified clients. Each instance counts for itself.
 *
 * `take` takes a token of `client` (a user or an address) at `nowMillis` since the epoch. Without a token it returns
 * the error of the request. `has` only tests for a token. Both are plain functions, because every request calls them.
 */
export class RateLimit extends Context.Service<
  RateLimit,
  {
    readonly take: (budget: Budget, client: string, nowMillis: number) => TooManyRequests | undefined
    readonly has: (budget: Budget, client: string, nowMillis: number) => boolean
  }
>()("kube-resource-api/limits/RateLimit") {
  /** Keeps the buckets in memory. */
  static readonly layer = (settings: RateLimitSettings) =>
    Layer.effect(
      RateLimit,
      Effect.gen(function* () {
        const services = yield* Effect.context<never>()
        const limiter = (budget: Budget, perSecond: number) => {
          if (perSecond === 0) return { take: () => undefined, has: () => true }
          const burst = settings.rateLimitBurst ?? perSecond * defaultBurstSeconds
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

  /** No limit. For tests. */
  static readonly layerUnlimited = Layer.succeed(RateLimit, { take: () => undefined, has: () => true })
}
