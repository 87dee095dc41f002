/** Objects that an informer cannot decode. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import {
  added,
  bookmark,
  deleted,
  informed,
  initialEnd,
  type Logged,
  modified,
  page,
  unreadable,
  unreadableAndUnnamed
} from "./ScriptedKube.ts"

const synced = [added("a", 1), added("b", 2), initialEnd(5)]
const itemOf = ({ object }: { readonly object: unknown }) => object

/** A short form of the log records of skipped objects. */
const skips = (logged: ReadonlyArray<Logged>) =>
  logged
    .filter(({ message }) => message === "Skipped an object that cannot be decoded")
    .map(({ annotations, level }) => `${level} ${String(annotations["key"])}`)

describe("an object that cannot be decoded", () => {
  it.effect("is skipped by a paged list, which keeps its last known state", () =>
    Effect.gen(function* () {
      const pages = [
        { ...page(["a"], 7, "more"), items: [...page(["a"], 7).items, itemOf(unreadable("b"))] },
        { ...page(["c"], 7), items: [...page(["c"], 7).items, itemOf(unreadableAndUnnamed)] }
      ]
      const { skipped, told } = yield* informed(
        { watches: [{ says: [], end: "hang" }], pages },
        { streamingList: false }
      )
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(told(), ["=a,c@7~b", "heard"])
      assert.strictEqual(skipped.count, 2)
    })
  )

  it.effect("is skipped by a streaming list, until it can be decoded again", () =>
    Effect.gen(function* () {
      const { skipped, told } = yield* informed({
        watches: [
          {
            says: [
              added("a", 1),
              unreadable("a"),
              unreadable("b"),
              modified("b", 2),
              unreadable("c"),
              deleted("c", 3),
              unreadable("d"),
              unreadableAndUnnamed,
              added("e", 4),
              initialEnd(5)
            ],
            end: "hang"
          }
        ]
      })
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(told(), ["=b,e@5~a,d", "heard"])
      assert.strictEqual(skipped.count, 5)
    })
  )

  it.effect("does not carry over to the next list", () =>
    Effect.gen(function* () {
      const { told } = yield* informed(
        {
          watches: [
            { says: [2], end: "close" },
            { says: [], end: "hang" }
          ],
          pages: [{ ...page([], 7), items: [itemOf(unreadable("a"))] }, page(["a"], 9)]
        },
        { streamingList: false, relistInterval: "1 second" }
      )
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(
        told().filter((event) => event.startsWith("=")),
        ["=@7~a", "=a@9"]
      )
    })
  )

  it.effect("keeps its last known state in an open watch, which continues", () =>
    Effect.gen(function* () {
      const { asked, ends, skipped, told } = yield* informed({
        watches: [
          { says: [...synced, 2, unreadable("a"), modified("b", 7), unreadable("a"), 2], end: "close" },
          { says: [], end: "hang" }
        ]
      })
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(told(), ["=a,b@5", "heard", "+b@7"])
      assert.strictEqual(skipped.count, 2)
      assert.deepStrictEqual(ends, [])
      yield* TestClock.adjust("1 second")
      assert.strictEqual(asked[1]?.resourceVersion, "7")
    })
  )

  it.effect("counts as heard, and does not move the version to resume from", () =>
    Effect.gen(function* () {
      const { asked, ends } = yield* informed(
        { watches: [{ says: [...synced, 60, bookmark(6), 170, unreadable("a"), 170], end: "close" }] },
        { watchAtLeast: "10 minutes", watchAtMost: "11 minutes" }
      )
      yield* TestClock.adjust("400 seconds")
      assert.deepStrictEqual(ends, ["closed"])
      assert.strictEqual(asked[1]?.resourceVersion, "6")
    })
  )

  it.effect("ends an open watch if its key cannot be decoded; the second time causes a new list", () =>
    Effect.gen(function* () {
      const { asked, ends, relists, skipped, told } = yield* informed({
        watches: [
          { says: [...synced, 2, unreadableAndUnnamed, added("z", 9)], end: "hang" },
          { says: [unreadableAndUnnamed], end: "hang" },
          { says: [...synced, 60], end: "hang" }
        ]
      })
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(ends, ["undecodable"])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(ends, ["undecodable", "undecodable"])
      assert.strictEqual(asked[1]?.resourceVersion, "5")
      assert.deepStrictEqual(relists, ["start", "broken"])
      assert.deepStrictEqual(told(), ["=a,b@5", "heard", "lost", "heard", "lost", "=a,b@5", "heard"])
      assert.strictEqual(skipped.count, 0)
    })
  )

  it.effect("ends an open watch before the events that arrive with it", () =>
    Effect.gen(function* () {
      const { asked, told } = yield* informed({
        watches: [
          { says: [...synced, [modified("a", 6), unreadableAndUnnamed, modified("b", 7)]], end: "hang" },
          { says: [], end: "hang" }
        ]
      })
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(told(), ["=a,b@5", "heard", "+a@6", "lost", "heard"])
      assert.strictEqual(asked[1]?.resourceVersion, "6")
    })
  )

  it.effect("is logged by its key, without its content, and again only after it was decoded", () =>
    Effect.gen(function* () {
      const says = [...synced, unreadable("a"), unreadable("a"), modified("a", 6), unreadable("a"), unreadable("b")]
      const { logged } = yield* informed({ watches: [{ says, end: "hang" }] })
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(skips(logged), ["Warn a", "Debug a", "Warn a", "Warn b"])
      const record = logged.find(({ annotations }) => annotations["key"] === "a")
      assert.deepStrictEqual(record?.annotations, {
        resource: "namespaces",
        key: "a",
        error: "an invalid or absent resourceVersion"
      })
    })
  )

  it.effect("is logged again after a new list, but not by each attempt at it", () =>
    Effect.gen(function* () {
      const broken = { says: [unreadable("a")], end: "hang" } as const
      const unnamed = { says: [unreadableAndUnnamed], end: "hang" } as const
      const { logged } = yield* informed({
        watches: [broken, { says: [2, unreadable("a")], end: "close" }, unnamed, unnamed],
        pages: [
          { ...page([], 5, "more"), items: [itemOf(unreadable("a"))] },
          { ...page([], 5), items: [itemOf(unreadable("b"))] },
          { ...page([], 8), items: [itemOf(unreadable("a")), itemOf(unreadableAndUnnamed)] }
        ]
      })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(skips(logged), ["Warn a", "Debug a", "Warn b", "Debug a", "Warn a", "Warn undefined"])
    })
  )

  it.effect("is logged for at most 100 keys", () =>
    Effect.gen(function* () {
      const says = [...synced, ...Array.from({ length: 150 }, (_, index) => unreadable(`n${index}`))]
      const { logged, skipped } = yield* informed({ watches: [{ says, end: "hang" }] })
      yield* Effect.repeat(TestClock.adjust(0), { times: 10 })
      assert.strictEqual(skipped.count, 150)
      assert.strictEqual(skips(logged).filter((record) => record.startsWith("Warn")).length, 100)
    })
  )
})
