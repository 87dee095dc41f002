import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as TokenBuckets from "../../src/limits/TokenBuckets.ts"

const allowed = (buckets: TokenBuckets.TokenBuckets, key: string, now: number, times: number): number => {
  let count = 0
  for (let i = 0; i < times; i++) if (buckets.take(key, now) === 0) count++
  return count
}

/** One bucket as the book draws it: tokens that drip in and are taken out. */
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

describe("token buckets", () => {
  it("a new client may spend the burst at once, and then as much as comes back", () => {
    const buckets = TokenBuckets.make({ perSecond: 10, burst: 30, keys: 100 })
    assert.strictEqual(allowed(buckets, "a", 0, 50), 30)
    assert.strictEqual(allowed(buckets, "a", 500, 50), 5)
    assert.strictEqual(allowed(buckets, "a", 1500, 50), 10)
    assert.strictEqual(allowed(buckets, "a", 1_000_000, 50), 30)
  })

  it("a refusal says after how many milliseconds there will be a token, and there is", () => {
    const buckets = TokenBuckets.make({ perSecond: 4, burst: 2, keys: 100 })
    assert.strictEqual(allowed(buckets, "a", 1000, 2), 2)
    const wait = buckets.take("a", 1100)
    assert.closeTo(wait, 150, 1)
    assert.notStrictEqual(buckets.take("a", 1100 + Math.floor(wait) - 5), 0)
    assert.strictEqual(buckets.take("a", 1100 + Math.ceil(wait)), 0)
  })

  it("to ask whether there is a token costs none", () => {
    const buckets = TokenBuckets.make({ perSecond: 1, burst: 2, keys: 1 })
    for (let i = 0; i < 10; i++) assert.isTrue(buckets.has("a", 0))
    assert.strictEqual(allowed(buckets, "a", 0, 5), 2)
    assert.isFalse(buckets.has("a", 0))
    assert.isTrue(buckets.has("others share", 0))
    assert.strictEqual(allowed(buckets, "others", 0, 5), 2)
    assert.isFalse(buckets.has("others share", 0))
    assert.isTrue(buckets.has("a", 1000))
  })

  it("a refused request costs nothing", () => {
    const buckets = TokenBuckets.make({ perSecond: 1, burst: 1, keys: 100 })
    assert.strictEqual(allowed(buckets, "a", 0, 1000), 1)
    assert.strictEqual(allowed(buckets, "a", 1000, 1000), 1)
  })

  it("clients do not share", () => {
    const buckets = TokenBuckets.make({ perSecond: 1, burst: 5, keys: 100 })
    assert.strictEqual(allowed(buckets, "a", 0, 10), 5)
    assert.strictEqual(allowed(buckets, "b", 0, 10), 5)
  })

  it("a clock that goes back blocks nobody for longer than an empty bucket takes to fill", () => {
    const buckets = TokenBuckets.make({ perSecond: 10, burst: 10, keys: 100 })
    assert.strictEqual(allowed(buckets, "a", 10_000_000, 10), 10)
    assert.strictEqual(allowed(buckets, "a", 5_000, 10), 0)
    assert.strictEqual(allowed(buckets, "a", 6_000, 20), 10)
  })

  it("memory is bounded however many clients come, and making up clients earns no tokens", () => {
    const buckets = TokenBuckets.make({ perSecond: 1, burst: 2, keys: 50 })
    let total = 0
    for (let i = 0; i < 100_000; i++) if (buckets.take(`address ${i}`, 100) === 0) total++
    assert.strictEqual(buckets.size(), 50)
    // One request of each of the 50, and the shared bucket's two.
    assert.strictEqual(total, 52)
    // The known ones keep what is theirs.
    assert.strictEqual(buckets.take("address 0", 100), 0)
    assert.notStrictEqual(buckets.take("address 0", 100), 0)
  })

  it("clients whose buckets are full again make place", () => {
    const buckets = TokenBuckets.make({ perSecond: 1, burst: 2, keys: 50 })
    for (let i = 0; i < 50; i++) buckets.take(`early ${i}`, 0)
    for (let i = 0; i < 20; i++) assert.strictEqual(buckets.take(`late ${i}`, 5000), 0)
    assert.strictEqual(allowed(buckets, "late 0", 5000, 10), 1)
    assert.strictEqual(buckets.size(), 20)
  })

  it.prop(
    "any sequence of requests is allowed as a bucket with tokens would",
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
