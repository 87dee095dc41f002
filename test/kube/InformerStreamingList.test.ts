/** Streaming lists of servers and proxies that do not support them but do not reject them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { added, bookmark, informed, initialEnd, page, status, unreachable } from "./ScriptedKube.ts"

const hang = { says: [], end: "hang" } as const

/** A short form of the requests. */
const shapes = (asked: ReadonlyArray<{ readonly what: string; readonly sendInitialEvents?: boolean | undefined }>) =>
  asked.map(({ sendInitialEvents, what }) => (sendInitialEvents === true ? "streaming" : what))

describe("a streaming list", () => {
  it.effect("that ends cleanly without its bookmark is replaced by the paged list, permanently", () =>
    Effect.gen(function* () {
      const { asked, ends, relists, told } = yield* informed({
        watches: [{ says: [added("a", 1)], end: "close" }, { says: [2], end: status(410) }, hang],
        pages: [page(["a", "b"], 7), page(["c"], 9)]
      })
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(told(), ["=a,b@7", "heard"])
      assert.deepStrictEqual(ends, ["closed"])
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(shapes(asked), ["streaming", "page", "watch", "page", "watch"])
      assert.deepStrictEqual(relists, ["start", "expired"])
    })
  )

  it.effect("with a bookmark before the end of the initial events is replaced at once", () =>
    Effect.gen(function* () {
      const { asked, ends, told } = yield* informed({
        watches: [{ says: [added("a", 1), 10, bookmark(6), added("z", 7)], end: "hang" }, hang],
        pages: [page(["a", "b"], 7)]
      })
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(ends, ["unsupported"])
      assert.deepStrictEqual(shapes(asked), ["streaming", "page", "watch"])
      assert.deepStrictEqual(told(), ["=a,b@7", "heard"])
    })
  )

  it.effect("that does not end is replaced after 60 seconds, even if events keep arriving", () =>
    Effect.gen(function* () {
      const says = Array.from({ length: 100 }, (_, index) => [added("a", index + 1), 10]).flat()
      const { asked, ends, told } = yield* informed({ watches: [{ says, end: "hang" }, hang], pages: [page(["a"], 7)] })
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(ends, [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(ends, ["stalled"])
      assert.deepStrictEqual(shapes(asked), ["streaming", "page", "watch"])
      assert.deepStrictEqual(told(), ["=a@7", "heard"])
    })
  )

  it.effect("has a time limit that can be set", () =>
    Effect.gen(function* () {
      const says = [added("a", 1), 10, added("b", 2), 10, initialEnd(5)]
      const { ends } = yield* informed({ watches: [{ says, end: "hang" }] }, { listTimeout: "15 seconds" })
      yield* TestClock.adjust("15 seconds")
      assert.deepStrictEqual(ends, ["stalled"])
    })
  )

  it.effect("is replaced after it broke off twice, even if it failed to open in between", () =>
    Effect.gen(function* () {
      const broken = { says: [added("a", 1)], end: unreachable }
      const { asked, relists } = yield* informed({
        watches: [broken, unreachable, status(503), broken, hang],
        pages: [page(["a", "b"], 7)]
      })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(shapes(asked), ["streaming", "streaming", "streaming", "streaming", "page", "watch"])
      assert.isAbove(asked[4]?.at ?? 0, asked[3]?.at ?? 0)
      assert.deepStrictEqual(relists, ["start"])
    })
  )

  it.effect("stays in use after it broke off once, or failed to open repeatedly", () =>
    Effect.gen(function* () {
      const broken = { says: [added("a", 1)], end: unreachable }
      const complete = { says: [added("a", 1), initialEnd(5)], end: status(410, { inStream: true }) }
      const { asked } = yield* informed({
        watches: [broken, ...Array.from({ length: 5 }, () => unreachable), complete, broken, complete, broken]
      })
      yield* TestClock.adjust("4 minutes")
      assert.deepStrictEqual(
        shapes(asked.slice(0, 11)),
        Array.from({ length: 11 }, () => "streaming")
      )
    })
  )
})
