import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Option, Random, References, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import type { KubeError } from "../../src/kube/KubeErrors.ts"
import * as NamespacePoll from "../../src/kube/NamespacePoll.ts"
import { ns, rv } from "../cache/Given.ts"
import { status, told, unreachable, stubKubeApi } from "./ScriptedKube.ts"

/** Polls namespaces `a` and `b`. `answers` has the response for each: a version, `absent`, or an error. */
const polling = Effect.fnUntraced(function* (answers: Record<string, number | "absent" | KubeError>) {
  const events: Array<ClusterEvent> = []
  const logged: Array<string> = []
  let asked = 0
  const api = stubKubeApi({
    getNamespace: (name) =>
      Effect.suspend(() => {
        asked += 1
        const answer = answers[name] ?? "absent"
        if (answer === "absent") return Effect.succeedNone
        return typeof answer === "number"
          ? Effect.succeed(Option.some({ name, resourceVersion: rv(answer) }))
          : Effect.fail(answer)
      })
  })
  yield* Stream.runForEach(NamespacePoll.make([ns("a"), ns("b")]), (event) =>
    Effect.sync(() => events.push(event))
  ).pipe(
    Effect.provide([
      api,
      Logger.layer([Logger.make(({ logLevel, message }) => void logged.push(`${logLevel} ${String(message)}`))])
    ]),
    Effect.provideService(References.MinimumLogLevel, "Debug"),
    Random.withSeed("poll"),
    Effect.forkScoped
  )
  yield* TestClock.adjust(1)
  return { events: () => events.map(told), asked: () => asked, logged }
})

describe("NamespacePoll", () => {
  it.effect("emits the namespaces that exist, and again only after a change", () =>
    Effect.gen(function* () {
      const answers: Record<string, number | "absent"> = { a: 5, b: "absent" }
      const { events } = yield* polling(answers)
      assert.deepStrictEqual(events(), ["=a@0", "heard"])
      yield* TestClock.adjust("18 seconds")
      assert.deepStrictEqual(events(), ["=a@0", "heard", "heard"])
      answers["b"] = 7
      yield* TestClock.adjust("18 seconds")
      assert.deepStrictEqual(events().slice(3), ["=a,b@0", "heard"])
      answers["a"] = "absent"
      yield* TestClock.adjust("18 seconds")
      assert.deepStrictEqual(events().slice(5), ["=b@0", "heard"])
    })
  )

  it.effect("emits nothing before the first response for each name, and retries soon", () =>
    Effect.gen(function* () {
      const answers: Record<string, number | KubeError> = { a: 5, b: unreachable }
      const { events } = yield* polling(answers)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(events(), [])
      answers["b"] = 6
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(events().slice(0, 2), ["=a,b@0", "heard"])
    })
  )

  it.effect("keeps the state of a namespace whose request fails, and emits Lost", () =>
    Effect.gen(function* () {
      const answers: Record<string, number | "absent" | KubeError> = { a: 5, b: 6 }
      const { asked, events } = yield* polling(answers)
      answers["b"] = status(403, { reason: "Forbidden" })
      answers["a"] = "absent"
      yield* TestClock.adjust("18 seconds")
      assert.deepStrictEqual(events(), ["=a,b@0", "heard", "=b@0", "lost"])
      const before = asked()
      yield* TestClock.adjust("10 minutes")
      // Two names, not more often than the poll once the back-off has grown.
      assert.isBelow(asked() - before, 120)
      assert.deepStrictEqual(events().length, 4)
      answers["b"] = 6
      yield* TestClock.adjust("18 seconds")
      assert.deepStrictEqual(events().slice(4, 5), ["heard"])
    })
  )

  it.effect("reports a missing permission only if the denial lasts: a starting API server denies everything", () =>
    Effect.gen(function* () {
      const forbidden = status(403, { reason: "Forbidden" })
      const answers: Record<string, number | KubeError> = { a: 5, b: forbidden }
      const { logged } = yield* polling(answers)
      const warnings = () => logged.filter((line) => line.startsWith("Warn"))
      const denied = "Warn The cluster denies this service to ask: retrying"
      assert.deepStrictEqual(warnings(), [denied])
      // A success and another failure each begin a new series.
      answers["b"] = 6
      yield* TestClock.adjust("30 seconds")
      answers["b"] = unreachable
      yield* TestClock.adjust("18 seconds")
      answers["b"] = forbidden
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(warnings(), [
        denied,
        "Warn Cannot watch namespaces: retrying",
        denied,
        "Warn The cluster does not permit this service to ask: grant it the verb get on this namespace"
      ])
      assert.isAbove(logged.filter((line) => line.startsWith("Debug")).length, 5)
    })
  )

  it.effect("reports a missing permission at the fifth denial in a row", () =>
    Effect.gen(function* () {
      const { asked, logged } = yield* polling({ a: 5, b: status(403, { reason: "Forbidden" }) })
      const isAsking = () => logged.some((line) => line.startsWith("Warn") && line.includes("grant it the verb get"))
      while (asked() < 8) yield* TestClock.adjust("1 second")
      assert.isFalse(isAsking())
      while (asked() < 10) yield* TestClock.adjust("1 second")
      assert.isTrue(isAsking())
    })
  )
})
