import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as TokenBuckets from "../../src/limits/TokenBuckets.ts"

const allowed = (buckets: TokenBuckets.TokenBuckets, key: string, now: number, times: number): number => {
  let count = 0
  for (let i = 0; i < times; i++) if (buckets.take(key, now) === 0) count++
  return count
}

/** The textbook bucket: tokens drip in and are taken out. */
const naive = (perSecond: number, burst: number) => {
  let tokens = burst
  let at = 0
  return (now: number): boolean => {
    tokens = Math.min(burst, tokens + ((now - at) * perSecond) / 1000)
    at = now
    if (tokens < 1 - 1e-3) return false
    tokens -= 1
    return true
  }
}

describe("TokenBuckets", () => {
  it("lets a new client spend the burst at once, and then the rate", () => {
    const buckets = TokenBuckets.make({ perSecond: 10, burst: 30, keys: 100 })
    assert.strictEqual(allowed(buckets, "a", 0, 50), 30)
    assert.strictEqual(allowed(buckets, "a", 500, 50), 5)
    assert.strictEqual(allowed(buckets, "a", 1500, 50), 10)
    assert.strictEqual(allowed(buckets, "a", 1_000_000, 50), 30)
  })

  it("says with a refusal when there will be a token", () => {
    const buckets = TokenBuckets.make({ perSecond: 4, burst: 2, keys: 100 })
    assert.strictEqual(allowed(buckets, "a", 1000, 2), 2)
    const wait = buckets.take("a", 1100)
    assert.closeTo(wait, 150, 1)
    assert.notStrictEqual(buckets.take("a", 1100 + Math.floor(wait) - 5), 0)
    assert.strictEqual(buckets.take("a", 1100 + Math.ceil(wait)), 0)
  })

  it("takes no token for `has`", () => {
    const buckets = TokenBuckets.make({ perSecond: 1, burst: 2, keys: 1 })
    for (let i = 0; i < 10; i++) assert.isTrue(buckets.has("a", 0))
    assert.strictEqual(allowed(buckets, "a", 0, 5), 2)
    assert.isFalse(buckets.has("a", 0))
    assert.isTrue(buckets.has("others share", 0))
    assert.strictEqual(allowed(buckets, "others", 0, 5), 2)
    assert.isFalse(buckets.has("others share", 0))
    assert.isTrue(buckets.has("a", 1000))
  })

  it("takes no token for a refused request", () => {
    const buckets = TokenBuckets.make({ perSecond: 1, burst: 1, keys: 100 })
    assert.strictEqual(allowed(buckets, "a", 0, 1000), 1)
    assert.strictEqual(allowed(buckets, "a", 1000, 1000), 1)
  })

  it("gives each client a bucket of its own", () => {
    const buckets = TokenBuckets.make({ perSecond: 1, burst: 5, keys: 100 })
    assert.strictEqual(allowed(buckets, "a", 0, 10), 5)
    assert.strictEqual(allowed(buckets, "b", 0, 10), 5)
  })

  it("blocks no client for longer than a bucket takes to fill when the clock is set back", () => {
    const buckets = TokenBuckets.make({ perSecond: 10, burst: 10, keys: 100 })
    assert.strictEqual(allowed(buckets, "a", 10_000_000, 10), 10)
    assert.strictEqual(allowed(buckets, "a", 5_000, 10), 0)
    assert.strictEqual(allowed(buckets, "a", 6_000, 20), 10)
  })

  it("bounds its memory, and gives no tokens to made-up clients", () => {
    const buckets = TokenBuckets.make({ perSecond: 1, burst: 2, keys: 50 })
    let total = 0
    for (let i = 0; i < 100_000; i++) if (buckets.take(`address ${i}`, 100) === 0) total++
    assert.strictEqual(buckets.size(), 50)
    // One request of each of the 50 clients, and two of the shared bucket.
    assert.strictEqual(total, 52)
    // Known clients keep their tokens.
    assert.strictEqual(buckets.take("address 0", 100), 0)
    assert.notStrictEqual(buckets.take("address 0", 100), 0)
  })

  it("forgets clients whose buckets are full", () => {
    const buckets = TokenBuckets.make({ perSecond: 1, burst: 2, keys: 50 })
    for (let i = 0; i < 50; i++) buckets.take(`early ${i}`, 0)
    for (let i = 0; i < 20; i++) assert.strictEqual(buckets.take(`late ${i}`, 5000), 0)
    assert.strictEqual(allowed(buckets, "late 0", 5000, 10), 1)
    assert.strictEqual(buckets.size(), 20)
  })

  it.prop(
    "decides any sequence of requests as the textbook bucket does",
    {
      perSecond: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20_000 })),
      burst: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 })),
      steps: Schema.Array(
        Schema.Struct({
          client: Schema.Literals(["a", "b", "c"]),
          pause: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2000 })),
          requests: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 50 }))
        })
      )
    },
    ({ burst, perSecond, steps }) => {
      const buckets = TokenBuckets.make({ perSecond, burst, keys: 10 })
      const models = { a: naive(perSecond, burst), b: naive(perSecond, burst), c: naive(perSecond, burst) }
      let now = 0
      for (const { client, pause, requests } of steps) {
        now += pause
        for (let i = 0; i < requests; i++) {
          assert.strictEqual(buckets.take(client, now) === 0, models[client](now))
        }
      }
    }
  )
})
