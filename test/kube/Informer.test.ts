import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Latch } from "effect"
import { TestClock } from "effect/testing"
import {
  added,
  bookmark,
  deleted,
  garbage,
  informed,
  initialEnd,
  modified,
  page,
  status,
  unreachable
} from "./ScriptedKube.ts"

const synced = { says: [added("a", 1), added("b", 2), initialEnd(5)], end: "hang" } as const
const syncedThen = <T>(end: T, ...more: ReadonlyArray<unknown>) => ({
  says: [added("a", 1), added("b", 2), initialEnd(5), ...more],
  end
})

const isBetween = (value: number | undefined, low: number, high: number) => {
  assert.isDefined(value)
  assert.isAtLeast(value ?? Number.NaN, low)
  assert.isAtMost(value ?? Number.NaN, high)
}

describe("list", () => {
  it.effect("emits a streaming list as one Replaced event", () =>
    Effect.gen(function* () {
      const { asked, relists, told } = yield* informed({
        watches: [{ says: [added("a", 1), added("b", 2), 10, deleted("a", 3), initialEnd(5)], end: "hang" }]
      })
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(told(), [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(told(), ["=b@5", "heard"])
      assert.deepStrictEqual(relists, ["start"])
      assert.strictEqual(asked[0]?.sendInitialEvents, true)
      assert.isUndefined(asked[0]?.resourceVersion)
    })
  )

  it.effect.each([400, 404, 422])("falls back to the paged list after status %d, permanently", (code) =>
    Effect.gen(function* () {
      const { asked, ends, told } = yield* informed({
        watches: [status(code), { says: [2], end: status(410) }, { says: [], end: "hang" }],
        pages: [page(["a", "b"], 7, "more"), page(["c"], 7), page(["z"], 9)]
      })
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(told(), ["=a,b,c@7", "heard"])
      assert.strictEqual(ends[0], "unsupported")
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(told(), ["=a,b,c@7", "heard", "lost", "=z@9", "heard"])
      assert.deepStrictEqual(
        asked.map(({ what, limit, continue: token, resourceVersion, sendInitialEvents }) =>
          what === "page" ? [limit, token] : [sendInitialEvents, resourceVersion]
        ),
        [
          [true, undefined],
          [500, undefined],
          [500, "more"],
          [false, "7"],
          [500, undefined],
          [false, "9"]
        ]
      )
    })
  )

  it.effect("falls back to the paged list when the initial events stop before their end", () =>
    Effect.gen(function* () {
      const { asked, ends, told } = yield* informed({
        watches: [
          { says: [added("a", 1)], end: "hang" },
          { says: [], end: "hang" }
        ],
        pages: [page(["a", "b"], 7)]
      })
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(asked.length, 1)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(ends, ["stalled"])
      assert.deepStrictEqual(told(), ["=a,b@7", "heard"])
    })
  )

  it.effect("restarts the paged list when its continue token expires, and reads it whole after the second time", () =>
    Effect.gen(function* () {
      const { asked, told } = yield* informed(
        {
          watches: [{ says: [], end: "hang" }],
          pages: [page(["a"], 7, "one"), status(410), page(["a"], 8, "two"), status(410), page(["a", "b"], 9)]
        },
        { streamingList: false }
      )
      // The list precedes the first watch.
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(told(), ["=a,b@9", "heard"])
      assert.deepStrictEqual(
        asked.filter(({ what }) => what === "page").map((asked) => [asked.limit, asked.continue]),
        [
          [500, undefined],
          [500, "one"],
          [500, undefined],
          [500, "two"],
          [undefined, undefined]
        ]
      )
    })
  )

  it.effect("restarts a streaming list that breaks before its end", () =>
    Effect.gen(function* () {
      const { told } = yield* informed({
        watches: [{ says: [added("c", 1)], end: unreachable }, synced]
      })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(told(), ["=a,b@5", "heard"])
    })
  )

  it.effect("emits a paged list once its watch has opened, since a service that may not watch is not in sync", () =>
    Effect.gen(function* () {
      const { asked, told } = yield* informed(
        {
          watches: [status(403), status(403), { says: [added("c", 8)], end: "hang" }],
          pages: [page(["a", "b"], 7)]
        },
        { streamingList: false }
      )
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(told(), [])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(told(), ["=a,b@7", "heard", "+c@8"])
      assert.deepStrictEqual(
        asked.map(({ what, resourceVersion }) => [what, resourceVersion]),
        [
          ["page", undefined],
          ["watch", "7"],
          ["watch", "7"],
          ["watch", "7"]
        ]
      )
    })
  )

  it.effect("lists again with back-off when the version of a paged list expires before its watch opens", () =>
    Effect.gen(function* () {
      const { asked, told } = yield* informed(
        {
          watches: [...Array.from({ length: 4 }, () => status(410)), { says: [], end: "hang" }],
          pages: Array.from({ length: 5 }, (_, index) => page(["a"], index + 5))
        },
        { streamingList: false }
      )
      yield* TestClock.adjust(0)
      assert.strictEqual(asked.length, 2)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(told(), ["=a@9", "heard"])
    })
  )
})

describe("watch", () => {
  it.effect("emits additions, changes and deletions with their versions", () =>
    Effect.gen(function* () {
      const { told } = yield* informed({
        watches: [syncedThen("hang", added("c", 6), modified("a", 7), deleted("b", 8), bookmark(9))]
      })
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(told(), ["=a,b@5", "heard", "+c@6", "+a@7", "-b@8", "heard"])
    })
  )

  it.effect("resumes at once from the last version of an event or bookmark when the server closes it", () =>
    Effect.gen(function* () {
      const { asked, told } = yield* informed({
        watches: [
          syncedThen("close", 2, added("c", 6)),
          { says: [2, bookmark(17)], end: "close" },
          { says: [2], end: "close" },
          { says: [], end: "hang" }
        ]
      })
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual(
        asked.map(({ at, resourceVersion, sendInitialEvents }) => [at, resourceVersion, sendInitialEvents]),
        [
          [0, undefined, true],
          [2, "6", false],
          [4, "17", false],
          [6, "17", false]
        ]
      )
      assert.deepStrictEqual(told(), [
        "=a,b@5",
        "heard",
        "+c@6",
        "heard",
        "lost",
        "heard",
        "heard",
        "heard",
        "lost",
        "heard",
        "heard",
        "lost",
        "heard"
      ])
    })
  )

  it.effect("requests a random timeout of 5 to 10 minutes", () =>
    Effect.gen(function* () {
      const { asked } = yield* informed({
        watches: [syncedThen("close", 2), ...Array.from({ length: 30 }, () => ({ says: [2], end: "close" as const }))]
      })
      yield* TestClock.adjust("1 minute")
      const timeouts = asked.map(({ timeoutSeconds }) => timeoutSeconds)
      timeouts.forEach((timeout) => isBetween(timeout, 300, 600))
      assert.isAbove(new Set(timeouts).size, 1)
    })
  )

  it.effect("closes a watch 30 seconds after its timeout, and resumes", () =>
    Effect.gen(function* () {
      const { asked, ends, told } = yield* informed({ watches: [synced, { says: [], end: "hang" }] })
      yield* TestClock.adjust(0)
      const limit = (asked[0]?.timeoutSeconds ?? 0) + 30
      yield* TestClock.adjust(Duration.seconds(limit - 1))
      assert.deepStrictEqual(told(), ["=a,b@5", "heard"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(ends, ["deadline"])
      assert.deepStrictEqual(told(), ["=a,b@5", "heard", "lost", "heard"])
      assert.strictEqual(asked[1]?.resourceVersion, "5")
    })
  )

  it.effect("closes a watch that was silent for 3 minutes after bookmarks, and resumes", () =>
    Effect.gen(function* () {
      const { asked, ends } = yield* informed({
        watches: [syncedThen("hang", 60, bookmark(6), 30, added("c", 7)), { says: [], end: "hang" }]
      })
      yield* TestClock.adjust(Duration.seconds(90 + 179))
      assert.deepStrictEqual(ends, [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(ends, ["silent"])
      assert.strictEqual(asked[1]?.resourceVersion, "7")
    })
  )

  const many = Array.from({ length: 3000 }, (_, index) => added(`n${index}`, index + 6))

  it.effect.each([
    { how: "one by one", changes: many },
    { how: "all at once", changes: [many] }
  ])("loses no event that arrives $how if a watch is closed while the consumer is slow", ({ changes }) =>
    Effect.gen(function* () {
      const consumer = Latch.makeUnsafe(false)
      const { asked, ends, told } = yield* informed(
        { watches: [syncedThen("hang", ...changes), { says: [], end: "hang" }] },
        {},
        consumer.await
      )
      const settled = Effect.repeat(TestClock.adjust(1), { times: 100 })
      yield* settled
      yield* TestClock.adjust("11 minutes")
      yield* consumer.open
      yield* settled
      assert.deepStrictEqual(ends, ["deadline"])
      // The buffer was full when the watch was closed, so events were still being emitted. The next watch resumes after
      // them, so they must have been emitted, too.
      const applied = told().filter((event) => event.startsWith("+"))
      const versions = applied.map((event) => Number(event.split("@")[1]))
      assert.isAbove(versions.length, 1000)
      assert.strictEqual(asked[1]?.resourceVersion, String(versions.at(-1)))
      assert.strictEqual(versions[0], 6)
      assert.isTrue(versions.every((version, index) => version === (versions[index - 1] ?? 5) + 1))
      assert.deepStrictEqual(told().slice(-2), ["lost", "heard"])
    })
  )

  it.effect("keeps a silent watch that never had a bookmark", () =>
    Effect.gen(function* () {
      const { ends } = yield* informed({ watches: [synced] })
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(ends, [])
    })
  )

  it.effect("lists again when a resumed watch is silent on a server that sends bookmarks", () =>
    Effect.gen(function* () {
      const { asked, relists } = yield* informed({
        watches: [syncedThen("close", 60, bookmark(900)), { says: [], end: "hang" }, synced]
      })
      yield* TestClock.adjust(Duration.seconds(60 + 179))
      assert.strictEqual(asked.length, 2)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(relists, ["start", "silent"])
      assert.isUndefined(asked[2]?.resourceVersion)
    })
  )

  it.effect("does not resume from an older version when events are repeated", () =>
    Effect.gen(function* () {
      const { asked } = yield* informed({
        watches: [syncedThen("close", 2, added("c", 10), modified("a", 9)), { says: [], end: "hang" }]
      })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(asked[1]?.resourceVersion, "10")
    })
  )
})

describe("expired version", () => {
  it.effect.each([
    { how: "the response", answer: status(410) },
    { how: "an ERROR event", answer: { says: [], end: status(410, { reason: "Expired", inStream: true }) } }
  ])("lists again at once after 410 as $how, with one Replaced event", ({ answer }) =>
    Effect.gen(function* () {
      const { asked, relists, told, warnings } = yield* informed({
        watches: [
          syncedThen("close", 2, added("c", 6)),
          answer,
          { says: [added("x", 20), 3, added("y", 21), initialEnd(30)], end: "hang" }
        ]
      })
      yield* TestClock.adjust("4 seconds")
      const before = told().filter((event) => event !== "heard" && event !== "lost")
      assert.deepStrictEqual(before, ["=a,b@5", "+c@6"])
      yield* TestClock.adjust("1 second")
      const after = told().filter((event) => event !== "heard" && event !== "lost")
      assert.deepStrictEqual(after, ["=a,b@5", "+c@6", "=x,y@30"])
      assert.deepStrictEqual(relists, ["start", "expired"])
      assert.strictEqual(asked[2]?.at, 2)
      assert.deepStrictEqual(warnings, [])
    })
  )

  it.effect("backs off when each new list expires at once", () =>
    Effect.gen(function* () {
      const { asked } = yield* informed({
        watches: Array.from({ length: 100 }, () => syncedThen(status(410, { inStream: true })))
      })
      yield* TestClock.adjust("30 seconds")
      isBetween(asked.length, 5, 9)
    })
  )

  it.effect("backs off when the watch of each new list is closed at once and its version has expired", () =>
    Effect.gen(function* () {
      const { asked } = yield* informed({
        watches: Array.from({ length: 50 }, () => [syncedThen("close" as const), status(410)]).flat()
      })
      yield* TestClock.adjust("30 seconds")
      isBetween(asked.length, 10, 18)
    })
  )

  it.effect.each([
    { reason: "version-too-large", error: status(504, { causes: ["ResourceVersionTooLarge"] }) },
    { reason: "refused", error: status(400) }
  ])("lists again when the version is rejected: $reason", ({ error, reason }) =>
    Effect.gen(function* () {
      const { asked, relists } = yield* informed({ watches: [syncedThen("close", 2), error, synced] })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(relists, ["start", reason])
      assert.strictEqual(asked[2]?.sendInitialEvents, true)
    })
  )

  it.effect("resumes without a list when a gateway times out", () =>
    Effect.gen(function* () {
      const { asked, relists } = yield* informed({
        watches: [syncedThen("close", 2), status(504), { says: [], end: "hang" }]
      })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(relists, ["start"])
      assert.strictEqual(asked[2]?.resourceVersion, "5")
    })
  )
})

describe("broken watch", () => {
  it.effect("resumes after a line that cannot be decoded", () =>
    Effect.gen(function* () {
      const { asked, relists, told } = yield* informed({
        watches: [syncedThen(garbage, 2), { says: [added("c", 6)], end: "hang" }]
      })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(asked[1]?.resourceVersion, "5")
      assert.deepStrictEqual(relists, ["start"])
      assert.strictEqual(told().at(-1), "+c@6")
    })
  )

  it.effect.each([
    { how: "a line that cannot be decoded", error: garbage },
    { how: "an ERROR event", error: status(500, { inStream: true }) }
  ])("lists again after $how twice at one version", ({ error }) =>
    Effect.gen(function* () {
      const { relists } = yield* informed({ watches: [syncedThen(error, 2), { says: [], end: error }, synced] })
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(relists, ["start", "broken"])
    })
  )

  it.effect("does not list again when there was progress between two broken watches", () =>
    Effect.gen(function* () {
      const { relists } = yield* informed({
        watches: [syncedThen(garbage, 2), { says: [added("c", 6)], end: garbage }, { says: [], end: "hang" }]
      })
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(relists, ["start"])
    })
  )

  it.effect("backs off lists that do not repair broken watches", () =>
    Effect.gen(function* () {
      const { relists } = yield* informed({ watches: Array.from({ length: 200 }, () => syncedThen(garbage)) })
      yield* TestClock.adjust("2 minutes")
      isBetween(relists.length, 3, 12)
    })
  )
})

describe("back-off", () => {
  it.effect("doubles from 0.8 to 30 seconds with 20 % jitter", () =>
    Effect.gen(function* () {
      const { asked } = yield* informed({ watches: Array.from({ length: 10 }, () => unreachable) })
      yield* TestClock.adjust("10 minutes")
      const waits = asked.slice(1, 11).map(({ at }, index) => at - (asked[index]?.at ?? Number.NaN))
      assert.strictEqual(waits.length, 10)
      const expected = [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30, 30]
      waits.forEach((wait, index) => {
        isBetween(wait, 0.799 * (expected[index] ?? 0), 1.201 * (expected[index] ?? 0))
      })
    })
  )

  it.effect("is reset to 0.8 seconds by progress", () =>
    Effect.gen(function* () {
      const { asked } = yield* informed({
        watches: [unreachable, unreachable, unreachable, unreachable, syncedThen(unreachable, 2), synced]
      })
      yield* TestClock.adjust("5 minutes")
      isBetween((asked[5]?.at ?? 0) - (asked[4]?.at ?? 0) - 2, 0.63, 0.97)
    })
  )

  it.effect("is reset to 0.8 seconds by a long watch without events", () =>
    Effect.gen(function* () {
      const { asked } = yield* informed({
        watches: [
          syncedThen(unreachable, 2),
          unreachable,
          unreachable,
          unreachable,
          { says: [40], end: unreachable },
          { says: [], end: "hang" }
        ]
      })
      yield* TestClock.adjust("4 minutes")
      isBetween((asked[5]?.at ?? 0) - (asked[4]?.at ?? 0) - 40, 0.63, 0.97)
    })
  )

  it.effect("honours Retry-After of lists and watches", () =>
    Effect.gen(function* () {
      const patience = { retryAfter: Duration.seconds(25) }
      const { asked } = yield* informed(
        { watches: [status(429, patience), { says: [], end: "hang" }], pages: [status(503, patience), page([], 4)] },
        { streamingList: false }
      )
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(
        asked.map(({ at, what }) => [what, at]),
        [
          ["page", 0],
          ["page", 25],
          ["watch", 25],
          ["watch", 50]
        ]
      )
    })
  )

  it.effect("applies to a watch that ends at once without events", () =>
    Effect.gen(function* () {
      const { asked } = yield* informed({
        watches: [syncedThen("close", 2), ...Array.from({ length: 100 }, () => ({ says: [], end: "close" as const }))]
      })
      yield* TestClock.adjust("30 seconds")
      isBetween(asked.length, 5, 8)
    })
  )

  it.effect("applies to a watch that ends at once without newer versions", () =>
    Effect.gen(function* () {
      const { asked } = yield* informed({
        watches: [
          syncedThen("close", 2),
          ...Array.from({ length: 100 }, () => ({ says: [bookmark(5)], end: "close" as const }))
        ]
      })
      yield* TestClock.adjust("30 seconds")
      isBetween(asked.length, 5, 8)
    })
  )

  it.effect("emits Lost once for an outage", () =>
    Effect.gen(function* () {
      const { told } = yield* informed({
        watches: [
          syncedThen(unreachable, 2),
          unreachable,
          unreachable,
          unreachable,
          { says: [added("c", 6)], end: "hang" }
        ]
      })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(told(), ["=a,b@5", "heard", "lost", "heard", "+c@6"])
    })
  )
})

describe("permission", () => {
  it.effect(
    "retries when permission is denied, as in the seconds after the start of an API server, and warns once",
    () =>
      Effect.gen(function* () {
        const denied = status(403)
        const { told, warnings } = yield* informed(
          { watches: [synced], pages: [denied, denied, denied, denied, page(["a"], 4)] },
          { streamingList: false }
        )
        yield* TestClock.adjust("20 seconds")
        assert.strictEqual(told()[0], "=a@4")
        assert.deepStrictEqual(warnings, ["The cluster denies this service to ask: retrying"])
      })
  )

  it.effect.each([401, 403])("warns again if the denial (%d) lasts, naming verbs and resource", (code) =>
    Effect.gen(function* () {
      const { warnings } = yield* informed({ watches: Array.from({ length: 20 }, () => status(code)) })
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(warnings, [
        "The cluster denies this service to ask: retrying",
        "The cluster does not permit this service to ask: grant it the verbs list and watch on namespaces"
      ])
    })
  )

  it.effect("restarts the count of denials after another failure", () =>
    Effect.gen(function* () {
      const denials = Array.from({ length: 4 }, () => status(403))
      const { warnings } = yield* informed({ watches: [...denials, status(503), ...denials, synced] })
      yield* TestClock.adjust("5 minutes")
      assert.isFalse(warnings.some((warning) => warning.includes("grant")))
    })
  )

  it.effect("warns again when the error changes or recurs after progress", () =>
    Effect.gen(function* () {
      const { warnings } = yield* informed({
        watches: [unreachable, unreachable, status(401), status(401), syncedThen(unreachable, 2), synced]
      })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(warnings.length, 3)
    })
  )
})
