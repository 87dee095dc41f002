/** After a watch, an informer resumes it or lists again. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { CacheFeed, ClusterCache } from "../../src/cache/ClusterCache.ts"
import { added, bookmark, garbage, informed, initialEnd, page, status, unreachable } from "./ScriptedKube.ts"

const hang = { says: [], end: "hang" } as const
const syncedThen = <T>(end: T, ...more: ReadonlyArray<unknown>) => ({
  says: [added("a", 1), initialEnd(1000), ...more],
  end
})

const restoredWarning = "The resource version of the cluster is older than before, as after a restore: listing again"

describe("the current version", () => {
  it.effect.each([
    { how: "a broken connection", end: unreachable },
    { how: "an event that cannot be decoded", end: garbage },
    { how: "an ERROR event", end: status(500, { inStream: true }) }
  ])("is read after $how, and the watch is resumed", ({ end }) =>
    Effect.gen(function* () {
      const { asked, questions, relists } = yield* informed({ watches: [syncedThen(end, 2), hang], versions: [1000] })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(
        asked.map(({ resourceVersion, what }) => [what, resourceVersion]),
        [
          ["watch", undefined],
          ["watch", "1000"]
        ]
      )
      assert.deepStrictEqual(questions, [asked[1]?.at])
      assert.deepStrictEqual(relists, ["start"])
    })
  )

  it.effect("causes a new list if it is older than that of the watch", () =>
    Effect.gen(function* () {
      const { asked, relists, told, warnings } = yield* informed({
        watches: [syncedThen(unreachable, 2), { says: [added("b", 899), initialEnd(905)], end: "hang" }],
        versions: [900]
      })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(relists, ["start", "restored"])
      assert.deepStrictEqual(told(), ["=a@1000", "heard", "lost", "=b@905", "heard"])
      assert.strictEqual(asked[1]?.sendInitialEvents, true)
      assert.deepStrictEqual(warnings, ["Cannot watch namespaces: retrying", restoredWarning])
    })
  )

  it.effect("causes a new list if the watch after a paged list has not opened yet", () =>
    Effect.gen(function* () {
      const { relists, told } = yield* informed(
        { watches: [unreachable, hang], pages: [page(["a"], 1000), page(["b"], 905)], versions: [900] },
        { streamingList: false }
      )
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(relists, ["restored"])
      assert.deepStrictEqual(told(), ["=b@905", "heard"])
    })
  )

  it.effect("is not required of a service that may watch but not list: the watch is resumed", () =>
    Effect.gen(function* () {
      const { asked, questions, relists, warnings } = yield* informed({
        watches: [syncedThen(unreachable, 2), hang],
        versions: [status(403)]
      })
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(questions.length, 1)
      assert.strictEqual(asked[1]?.resourceVersion, "1000")
      assert.deepStrictEqual(relists, ["start"])
      assert.strictEqual(warnings.length, 2)
    })
  )

  it.effect("is requested with back-off until there is a response", () =>
    Effect.gen(function* () {
      const { asked, questions, relists, warnings } = yield* informed({
        watches: [syncedThen(unreachable, 2), hang],
        versions: [status(503), status(503), status(503), 1000]
      })
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(questions.length, 4)
      assert.deepStrictEqual(relists, ["start"])
      assert.strictEqual(asked[1]?.resourceVersion, "1000")
      assert.isAtLeast((questions[2] ?? 0) - (questions[1] ?? 0), 1.2)
      assert.deepStrictEqual(warnings, ["Cannot watch namespaces: retrying", "Cannot ask: retrying"])
    })
  )

  it.effect("causes a new list if the response is that it has expired", () =>
    Effect.gen(function* () {
      const { relists } = yield* informed({
        watches: [syncedThen(unreachable, 2), syncedThen("hang")],
        versions: [status(410)]
      })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(relists, ["start", "expired"])
    })
  )

  it.effect("is not read after a clean end", () =>
    Effect.gen(function* () {
      const { asked, questions } = yield* informed({ watches: [syncedThen("close", 2), hang] })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(asked.length, 2)
      assert.deepStrictEqual(questions, [])
    })
  )

  it.effect("is read after an end that the informer forced, and after any wait", () =>
    Effect.gen(function* () {
      const { asked, ends, questions } = yield* informed({
        watches: [syncedThen("hang"), { says: [], end: "close" }, hang]
      })
      yield* TestClock.adjust("640 seconds")
      assert.deepStrictEqual(ends, ["deadline", "closed"])
      assert.deepStrictEqual(questions, [asked[1]?.at, asked[2]?.at])
    })
  )

  it.effect("does not cause a loop of lists while each list is older than the previous one", () =>
    Effect.gen(function* () {
      const versions = Array.from({ length: 100 }, (_, index) => 900 - index)
      const { relists } = yield* informed({
        watches: versions.map((version) => ({ says: [initialEnd(version + 1)], end: unreachable })),
        versions: versions.map((version) => version - 10)
      })
      yield* TestClock.adjust("30 seconds")
      assert.isAtMost(relists.length, 40)
      assert.include(relists, "restored")
    })
  )
})

describe("a periodic relist", () => {
  const renewals = (count: number) => Array.from({ length: count }, () => ({ says: [300], end: "close" as const }))

  // A resumed watch also has events.
  const renewalOrList = { says: [added("b", 2), initialEnd(2000), 150, bookmark(2000), 150], end: "close" } as const

  it.effect("replaces the resumption once watches have lived for its interval, and logs no failure", () =>
    Effect.gen(function* () {
      const { logged, questions, relists, told } = yield* informed(
        {
          watches: [syncedThen("close", 300), ...Array.from({ length: 30 }, () => renewalOrList)]
        },
        { relistInterval: "1 hour" }
      )
      yield* TestClock.adjust("47 minutes")
      assert.deepStrictEqual(relists, ["start"])
      yield* TestClock.adjust("30 minutes")
      assert.deepStrictEqual(relists, ["start", "periodic"])
      assert.deepStrictEqual(
        told().filter((event) => event.startsWith("=")),
        ["=a@1000", "=b@2000"]
      )
      assert.deepStrictEqual(logged, [])
      assert.deepStrictEqual(questions, [])
    })
  )

  it.effect("has an interval with 20 % jitter", () =>
    Effect.gen(function* () {
      const at = new Set<number>()
      for (let run = 0; run < 10; run++) {
        const { asked } = yield* informed(
          {
            watches: [
              syncedThen("close", 2),
              ...Array.from({ length: 100 }, () => ({ says: [2], end: "close" as const }))
            ]
          },
          { relistInterval: "100 seconds" }
        )
        yield* TestClock.adjust("130 seconds")
        const [first, second] = asked.filter(({ sendInitialEvents }) => sendInitialEvents)
        const interval = (second?.at ?? 0) - (first?.at ?? 0)
        assert.isAtLeast(interval, 80)
        assert.isAtMost(interval, 122)
        at.add(interval)
      }
      assert.isAbove(at.size, 1)
    })
  )

  it.effect("is never taken with an interval of 0", () =>
    Effect.gen(function* () {
      const { relists } = yield* informed(
        { watches: [syncedThen("close", 300), ...renewals(100), hang] },
        { relistInterval: "0 seconds" }
      )
      yield* TestClock.adjust("8 hours")
      assert.deepStrictEqual(relists, ["start"])
    })
  )

  it.effect("is also taken after a failure", () =>
    Effect.gen(function* () {
      const { questions, relists } = yield* informed(
        { watches: [syncedThen(unreachable, 300), syncedThen("hang")] },
        { relistInterval: "4 minutes" }
      )
      yield* TestClock.adjust("6 minutes")
      assert.deepStrictEqual(relists, ["start", "periodic"])
      assert.deepStrictEqual(questions, [])
    })
  )

  it.effect("is not taken in a loop, however short its interval", () =>
    Effect.gen(function* () {
      const { asked } = yield* informed(
        { watches: Array.from({ length: 1000 }, () => syncedThen("close" as const)) },
        { relistInterval: "1 millis" }
      )
      yield* TestClock.adjust("30 seconds")
      assert.isAtMost(asked.length, 18)
    })
  )
})

describe("a renewal of a watch", () => {
  it.effect("after a long silence does not age the view", () =>
    Effect.gen(function* () {
      const { events } = yield* informed({
        watches: [
          { says: [initialEnd(5), 290], end: "close" },
          { says: [290], end: "close" },
          { says: [30, bookmark(6)], end: unreachable }
        ]
      })
      const feed = yield* CacheFeed
      const cache = yield* ClusterCache
      let fed = 0
      const ages: Array<number> = []
      const follow = Effect.gen(function* () {
        yield* TestClock.adjust("1 second")
        for (const event of events.slice(fed)) {
          yield* feed.apply(event)
          // Deployments are not watched here: they are as live as the namespaces.
          if (event._tag === "Heard" || event._tag === "Lost") yield* feed.apply({ ...event, resource: "deployments" })
          ages.push(cache.age())
        }
        fed = events.length
      })
      yield* Effect.repeat(follow, { times: 600 })
      assert.isAtMost(Math.max(...ages), 1)
      assert.strictEqual(ages.length, 8)
    }).pipe(Effect.provide(ClusterCache.layerMemory()))
  )
})
