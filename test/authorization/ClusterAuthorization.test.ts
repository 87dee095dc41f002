import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Metric } from "effect"
import { TestClock } from "effect/testing"
import { type AccessQuestion, AccessReviewer } from "../../src/model/AccessReviewer.ts"
import { ClusterUnavailable } from "../../src/contract/Problems.ts"
import { type Access, Authorization } from "../../src/authorization/Authorization.ts"
import * as ClusterAuthorization from "../../src/authorization/ClusterAuthorization.ts"
import type { Identity } from "../../src/identity/Identity.ts"
import { get, getMetrics, identity, listDeployments, listNamespaces, set } from "./Given.ts"

const ann = identity("ann", "shop", "people")
const bob = identity("bob")
const mallory = identity("mallory")

const away = new ClusterUnavailable({ detail: "away" })

type Answer = (question: AccessQuestion) => Effect.Effect<boolean, ClusterUnavailable>

/** An authorizer over a cluster with these answers, the reviews it received, and the number in flight. */
const asking = Effect.fnUntraced(function* (
  answer: Answer,
  settings: Partial<ClusterAuthorization.ClusterAuthorizationSettings> = {}
) {
  const questions: Array<AccessQuestion> = []
  let current = answer
  let now = 0
  let most = 0
  const reviewer = Layer.succeed(AccessReviewer, {
    review: (question) =>
      Effect.suspend(() => {
        questions.push(question)
        now++
        most = Math.max(most, now)
        return Effect.ensuring(
          current(question),
          Effect.sync(() => now--)
        )
      })
  })
  const services = yield* Layer.build(
    ClusterAuthorization.layer({
      authorizationCacheAllow: Duration.minutes(5),
      authorizationCacheDeny: Duration.seconds(30),
      authorizationCacheSize: 10_000,
      authorizationDeniedGroups: ["kubeadm:*", "admins"],
      ...settings
    }).pipe(Layer.provide(reviewer), Layer.provideMerge(Layer.succeed(Metric.MetricRegistry, new Map())))
  )
  const authorization = Context.get(services, Authorization)
  const check = (who: Identity, access: Access) =>
    Effect.match(authorization.check(who, access), { onFailure: (error) => error._tag, onSuccess: () => "allowed" })
  return {
    questions,
    check,
    most: () => most,
    answerWith: (next: Answer) => {
      current = next
    },
    reviews: Effect.map(Effect.provideContext(Metric.snapshot, services), (all) =>
      Object.fromEntries(
        all.flatMap((one) =>
          one.id === "access_reviews_total" && one.type === "Counter"
            ? [[String(one.attributes?.["outcome"]), Number(one.state.count)]]
            : []
        )
      )
    )
  }
})

const yes: Answer = () => Effect.succeed(true)
const no: Answer = () => Effect.succeed(false)
const unavailable: Answer = () => Effect.fail(away)

describe("an access as a review", () => {
  for (const [access, expected] of [
    [listNamespaces, { verb: "list", group: "", resource: "namespaces" }],
    [listDeployments("shop"), { verb: "list", group: "apps", resource: "deployments", namespace: "shop" }],
    [listDeployments("ANY"), { verb: "list", group: "apps", resource: "deployments" }],
    [
      get("shop", "web"),
      { verb: "get", group: "apps", resource: "deployments", subresource: "scale", namespace: "shop", name: "web" }
    ],
    [
      get("shop", "ANY"),
      { verb: "get", group: "apps", resource: "deployments", subresource: "scale", namespace: "shop" }
    ],
    [get("ANY", "web"), { verb: "get", group: "apps", resource: "deployments", subresource: "scale", name: "web" }],
    [get("ANY", "ANY"), { verb: "get", group: "apps", resource: "deployments", subresource: "scale" }],
    [
      set("shop", "web", 3),
      { verb: "update", group: "apps", resource: "deployments", subresource: "scale", namespace: "shop", name: "web" }
    ],
    [getMetrics, { verb: "get", path: "/metrics" }]
  ] as const) {
    it.effect(JSON.stringify(access), () =>
      Effect.gen(function* () {
        const { check, questions } = yield* asking(yes)
        assert.strictEqual(yield* check(ann, access), "allowed")
        assert.deepStrictEqual(questions, [
          { subject: { user: "ann", groups: ["people", "shop", "system:authenticated"] }, access: expected }
        ])
      })
    )
  }

  it.effect("denied: the error names the verb and the object", () =>
    Effect.gen(function* () {
      const reviewer = Layer.succeed(AccessReviewer, { review: no })
      const error = yield* Effect.flatMap(Authorization, (authorization) =>
        Effect.flip(authorization.check(ann, get("shop", "web")))
      ).pipe(
        Effect.provide(
          Layer.provide(
            ClusterAuthorization.layer({
              authorizationCacheAllow: Duration.minutes(5),
              authorizationCacheDeny: Duration.seconds(30),
              authorizationCacheSize: 1,
              authorizationDeniedGroups: ["kubeadm:*", "admins"]
            }),
            reviewer
          )
        )
      )
      assert.strictEqual(error._tag, "Unauthorized")
      assert.strictEqual(error.detail, "ann may not get the replica count of web in namespace shop.")
    })
  )
})

describe("the cache of answers", () => {
  it.effect("keeps an allow for five minutes", () =>
    Effect.gen(function* () {
      const { check, questions } = yield* asking(yes)
      yield* check(ann, listNamespaces)
      yield* TestClock.adjust("299 seconds")
      assert.strictEqual(yield* check(ann, listNamespaces), "allowed")
      assert.strictEqual(questions.length, 1)
      yield* TestClock.adjust("1 second")
      yield* check(ann, listNamespaces)
      assert.strictEqual(questions.length, 2)
    })
  )

  it.effect("keeps a deny for thirty seconds", () =>
    Effect.gen(function* () {
      const { answerWith, check, questions } = yield* asking(no)
      assert.strictEqual(yield* check(ann, listNamespaces), "Unauthorized")
      answerWith(yes)
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(yield* check(ann, listNamespaces), "Unauthorized")
      assert.strictEqual(questions.length, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* check(ann, listNamespaces), "allowed")
    })
  )

  it.effect("replaces an expired allow by a deny, also if the clock is set back", () =>
    Effect.gen(function* () {
      const { answerWith, check, questions } = yield* asking(yes)
      yield* TestClock.setTime(0)
      yield* check(ann, listNamespaces)
      yield* TestClock.setTime(Duration.toMillis("5 minutes"))
      answerWith(no)
      assert.strictEqual(yield* check(ann, listNamespaces), "Unauthorized")
      yield* TestClock.setTime(Duration.toMillis("299 seconds"))
      assert.strictEqual(yield* check(ann, listNamespaces), "Unauthorized")
      assert.strictEqual(questions.length, 2)
    })
  )

  it.effect("keeps nothing if the settings say so", () =>
    Effect.gen(function* () {
      const { check, questions } = yield* asking(yes, {
        authorizationCacheAllow: Duration.zero,
        authorizationCacheDeny: Duration.zero
      })
      yield* check(ann, listNamespaces)
      yield* check(ann, listNamespaces)
      assert.strictEqual(questions.length, 2)
    })
  )

  it.effect("is shared by connections of the same user and groups, in any order", () =>
    Effect.gen(function* () {
      const { check, questions } = yield* asking(yes)
      for (const who of [identity("ann", "a", "b"), identity("ann", "b", "a"), identity("ann", "b", "a", "b")]) {
        yield* check(who, listNamespaces)
      }
      assert.strictEqual(questions.length, 1)
    })
  )

  it.effect("is not shared with another subject, however the names concatenate", () =>
    Effect.gen(function* () {
      const { check, questions } = yield* asking(yes)
      const everybody = [
        identity("ann"),
        identity("ann", ""),
        identity("ann", "a", "b"),
        identity("ann", "a,b"),
        identity("ann", 'a","b'),
        identity("ann,a", "b"),
        identity('ann",["a', "b"),
        identity("ann\0a", "b"),
        identity("ann\na", "b"),
        identity("ANN")
      ]
      for (const who of everybody) yield* check(who, listNamespaces)
      assert.strictEqual(questions.length, everybody.length)
    })
  )

  it.effect("has an entry for each access, whatever the count to set", () =>
    Effect.gen(function* () {
      const { check, questions } = yield* asking(yes)
      const accesses = [
        listNamespaces,
        getMetrics,
        listDeployments("a"),
        listDeployments("ANY"),
        get("a", "b"),
        get("a", "ANY"),
        get("ANY", "b"),
        get("ANY", "ANY"),
        get("b", "a"),
        set("a", "b", 1)
      ]
      for (const access of accesses) yield* check(ann, access)
      assert.strictEqual(questions.length, accesses.length)
      yield* check(ann, set("a", "b", 2))
      assert.strictEqual(questions.length, accesses.length)
    })
  )

  it.effect("is bounded, and evicts the oldest answer first", () =>
    Effect.gen(function* () {
      const { check, questions } = yield* asking(yes, { authorizationCacheSize: 3 })
      for (const name of ["a", "b", "c", "d"]) yield* check(ann, listDeployments(name))
      assert.strictEqual(questions.length, 4)
      for (const name of ["b", "c", "d"]) yield* check(ann, listDeployments(name))
      assert.strictEqual(questions.length, 4)
      yield* check(ann, listDeployments("a"))
      assert.strictEqual(questions.length, 5)
      yield* check(ann, listDeployments("b"))
      assert.strictEqual(questions.length, 6)
    })
  )
})

describe("a subject that makes up names evicts no answers of others", () => {
  const authorizationCacheSize = 100
  const names = Array.from({ length: authorizationCacheSize * 3 }, (_, n) => listDeployments(`made-up-${n}`))

  it.effect("when all its accesses are denied", () =>
    Effect.gen(function* () {
      const { check, questions } = yield* asking(({ subject }) => Effect.succeed(subject.user === "ann"), {
        authorizationCacheSize
      })
      yield* check(ann, listNamespaces)
      yield* check(bob, listNamespaces)
      for (const access of names) assert.strictEqual(yield* check(mallory, access), "Unauthorized")
      const asked = questions.length
      assert.strictEqual(yield* check(ann, listNamespaces), "allowed")
      assert.strictEqual(questions.length, asked)
    })
  )

  it.effect("when it has as many denies as the others have allows", () =>
    Effect.gen(function* () {
      const { check, questions } = yield* asking(({ subject }) => Effect.succeed(subject.user === "ann"), {
        authorizationCacheSize
      })
      const own = names.slice(0, authorizationCacheSize)
      for (const access of own) yield* check(ann, access)
      for (const access of names) yield* check(mallory, access)
      const asked = questions.length
      for (const access of own) assert.strictEqual(yield* check(ann, access), "allowed")
      assert.strictEqual(questions.length, asked)
    })
  )

  for (const [outcome, answer] of [
    ["allowed", yes],
    ["denied", no]
  ] as const) {
    it.effect(`when all accesses are ${outcome}, up to half of the cache`, () =>
      Effect.gen(function* () {
        const { check, questions } = yield* asking(answer, { authorizationCacheSize })
        const own = names.slice(0, authorizationCacheSize / 4)
        for (const who of [ann, bob]) for (const access of own) yield* check(who, access)
        for (const access of names) yield* check(mallory, access)
        const asked = questions.length
        for (const who of [ann, bob]) for (const access of own) yield* check(who, access)
        assert.strictEqual(questions.length, asked)
      })
    )

    it.effect(`when all accesses are ${outcome}, and it filled the cache first`, () =>
      Effect.gen(function* () {
        const { check, questions } = yield* asking(answer, { authorizationCacheSize })
        const own = names.slice(0, authorizationCacheSize / 4)
        for (const access of names) yield* check(mallory, access)
        for (const access of own) {
          for (const who of [ann, bob]) yield* check(who, access)
          for (const again of names.slice(0, 10)) yield* check(mallory, again)
        }
        for (const access of names) yield* check(mallory, access)
        const asked = questions.length
        for (const who of [ann, bob]) for (const access of own) yield* check(who, access)
        assert.strictEqual(questions.length, asked)
      })
    )
  }
})

describe("a cluster that does not answer", () => {
  it.effect("allows nothing, and the failure is not cached", () =>
    Effect.gen(function* () {
      const { answerWith, check, questions } = yield* asking(unavailable)
      assert.strictEqual(yield* check(ann, listNamespaces), "ClusterUnavailable")
      assert.strictEqual(yield* check(ann, listNamespaces), "ClusterUnavailable")
      assert.strictEqual(questions.length, 2)
      answerWith(yes)
      assert.strictEqual(yield* check(ann, listNamespaces), "allowed")
    })
  )

  it.effect("leaves cached answers valid until they expire", () =>
    Effect.gen(function* () {
      const { answerWith, check } = yield* asking(({ access }) => Effect.succeed("path" in access))
      assert.strictEqual(yield* check(ann, getMetrics), "allowed")
      assert.strictEqual(yield* check(ann, listNamespaces), "Unauthorized")
      answerWith(unavailable)
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(yield* check(ann, getMetrics), "allowed")
      assert.strictEqual(yield* check(ann, listNamespaces), "Unauthorized")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* check(ann, getMetrics), "allowed")
      assert.strictEqual(yield* check(ann, listNamespaces), "ClusterUnavailable")
      yield* TestClock.adjust("270 seconds")
      assert.strictEqual(yield* check(ann, getMetrics), "ClusterUnavailable")
    })
  )

  it.effect("times out after five seconds", () =>
    Effect.gen(function* () {
      const { check } = yield* asking(() => Effect.never)
      const waiting = yield* Effect.forkChild(check(ann, listNamespaces))
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(waiting), "ClusterUnavailable")
    })
  )
})

describe("concurrent checks of the same access", () => {
  it.effect("share one review", () =>
    Effect.gen(function* () {
      const answered = yield* Deferred.make<boolean, ClusterUnavailable>()
      const { check, questions } = yield* asking(() => Deferred.await(answered))
      const askers = yield* Effect.forEach(Array.from({ length: 50 }), () =>
        Effect.forkChild(check(identity("ann", "shop"), listNamespaces))
      )
      yield* Effect.yieldNow
      yield* Deferred.succeed(answered, true)
      for (const asker of askers) assert.strictEqual(yield* Fiber.join(asker), "allowed")
      assert.strictEqual(questions.length, 1)
    })
  )

  it.effect("share a failure, and the next check reviews again", () =>
    Effect.gen(function* () {
      const answered = yield* Deferred.make<boolean, ClusterUnavailable>()
      const { answerWith, check, questions } = yield* asking(() => Deferred.await(answered))
      const askers = yield* Effect.forEach(Array.from({ length: 5 }), () =>
        Effect.forkChild(check(ann, listNamespaces))
      )
      yield* Effect.yieldNow
      yield* Deferred.fail(answered, away)
      for (const asker of askers) assert.strictEqual(yield* Fiber.join(asker), "ClusterUnavailable")
      answerWith(yes)
      assert.strictEqual(yield* check(ann, listNamespaces), "allowed")
      assert.strictEqual(questions.length, 2)
    })
  )

  it.effect("are independent: interrupting one, even the first, does not affect the others", () =>
    Effect.gen(function* () {
      const answered = yield* Deferred.make<boolean, ClusterUnavailable>()
      const { check, questions } = yield* asking(() => Deferred.await(answered))
      const first = yield* Effect.forkChild(check(ann, listNamespaces))
      const second = yield* Effect.forkChild(check(ann, listNamespaces))
      const third = yield* Effect.forkChild(check(ann, listNamespaces))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(first)
      yield* Fiber.interrupt(third)
      const interrupted = yield* Fiber.await(first)
      assert.isTrue(Exit.isFailure(interrupted) && Cause.hasInterruptsOnly(interrupted.cause))
      yield* Deferred.succeed(answered, true)
      assert.strictEqual(yield* Fiber.join(second), "allowed")
      assert.strictEqual(yield* check(ann, listNamespaces), "allowed")
      assert.strictEqual(questions.length, 1)
    })
  )

  it.effect("leave an answer in the cache if all of them were interrupted", () =>
    Effect.gen(function* () {
      const answered = yield* Deferred.make<boolean, ClusterUnavailable>()
      const { check, questions } = yield* asking(() => Deferred.await(answered))
      const asker = yield* Effect.forkChild(check(ann, listNamespaces))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(asker)
      yield* Deferred.succeed(answered, true)
      assert.strictEqual(yield* check(ann, listNamespaces), "allowed")
      assert.strictEqual(questions.length, 1)
    })
  )
})

describe("reviews", () => {
  it.effect("are bounded in number, and others wait", () =>
    Effect.gen(function* () {
      const { check, most, questions } = yield* asking(() => Effect.delay(Effect.succeed(true), "100 millis"))
      const count = ClusterAuthorization.maxConcurrentReviews * 3
      const askers = yield* Effect.forEach(Array.from({ length: count }), (_, n) =>
        Effect.forkChild(check(identity(`user-${n}`), listNamespaces))
      )
      yield* TestClock.adjust("1 second")
      for (const asker of askers) assert.strictEqual(yield* Fiber.join(asker), "allowed")
      assert.strictEqual(questions.length, count)
      assert.strictEqual(most(), ClusterAuthorization.maxConcurrentReviews)
    })
  )

  it.effect("fail at once when the queue is full", () =>
    Effect.gen(function* () {
      const { answerWith, check } = yield* asking(() => Effect.never)
      const askers = yield* Effect.forEach(Array.from({ length: ClusterAuthorization.maxPendingReviews }), (_, n) =>
        Effect.forkChild(check(identity(`user-${n}`), listNamespaces))
      )
      yield* Effect.yieldNow
      assert.strictEqual(yield* check(ann, listNamespaces), "ClusterUnavailable")
      // A check of an access under review adds no review.
      const joined = yield* Effect.forkChild(check(identity("user-0"), listNamespaces))
      yield* Effect.yieldNow
      assert.isUndefined(joined.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      for (const asker of [...askers, joined]) assert.strictEqual(yield* Fiber.join(asker), "ClusterUnavailable")
      answerWith(yes)
      assert.strictEqual(yield* check(ann, listNamespaces), "allowed")
    })
  )

  it.effect("serve subjects in turn", () =>
    Effect.gen(function* () {
      const { check, questions } = yield* asking(() => Effect.delay(Effect.succeed(true), "100 millis"))
      for (let n = 0; n < ClusterAuthorization.maxPendingReviewsOfOne; n++) {
        yield* Effect.forkChild(check(mallory, listDeployments(`made-up-${n}`)))
      }
      yield* Effect.yieldNow
      const asked = yield* Effect.forkChild(check(ann, listNamespaces))
      yield* TestClock.adjust("100 millis")
      assert.include(
        questions.map(({ subject }) => subject.user),
        "ann"
      )
      assert.isAtMost(questions.length, ClusterAuthorization.maxConcurrentReviews * 2)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* Fiber.join(asked), "allowed")
    })
  )

  it.effect("of one subject take at most half of the places", () =>
    Effect.gen(function* () {
      const { answerWith, check } = yield* asking(() => Effect.never)
      const askers = yield* Effect.forEach(
        Array.from({ length: ClusterAuthorization.maxPendingReviewsOfOne }),
        (_, n) => Effect.forkChild(check(mallory, listDeployments(`made-up-${n}`)))
      )
      yield* Effect.yieldNow
      assert.strictEqual(yield* check(mallory, listNamespaces), "ClusterUnavailable")
      // A check of an access under review adds no review.
      const joined = yield* Effect.forkChild(check(mallory, listDeployments("made-up-0")))
      const other = yield* Effect.forkChild(check(ann, listNamespaces))
      yield* Effect.yieldNow
      for (const waiting of [...askers, joined, other]) assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      for (const waiting of [...askers, joined, other]) {
        assert.strictEqual(yield* Fiber.join(waiting), "ClusterUnavailable")
      }
      // All places are free again.
      const again = yield* Effect.forEach(Array.from({ length: ClusterAuthorization.maxPendingReviewsOfOne }), (_, n) =>
        Effect.forkChild(check(mallory, listDeployments(`made-up-${n}`)))
      )
      yield* Effect.yieldNow
      for (const waiting of again) assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      answerWith(yes)
      assert.strictEqual(yield* check(mallory, listNamespaces), "allowed")
    })
  )

  it.effect("are counted by outcome", () =>
    Effect.gen(function* () {
      const { answerWith, check, reviews } = yield* asking(yes)
      yield* check(ann, listNamespaces)
      yield* check(ann, listNamespaces)
      answerWith(no)
      yield* check(ann, getMetrics)
      answerWith(unavailable)
      yield* check(ann, listDeployments("a"))
      yield* check(ann, listDeployments("a"))
      assert.deepStrictEqual(yield* reviews, { allowed: 1, denied: 1, failed: 2 })
    })
  )
})

describe("names that Kubernetes reserves", () => {
  for (const who of [
    identity("system:admin"),
    identity("system:serviceaccount:kube-system:default", "people"),
    identity("ann", "system:masters"),
    identity("ann", "people", "system:nodes"),
    identity("ann", "system:authenticated"),
    identity("ann", "people", "kubeadm:cluster-admins"),
    identity("ann", "admins")
  ]) {
    it.effect(`${who.user} of ${who.groups.join(" and ") || "no group"} is denied without a review`, () =>
      Effect.gen(function* () {
        const { check, questions } = yield* asking(yes)
        for (const access of [listNamespaces, getMetrics, get("a", "b"), set("a", "b", 1)]) {
          assert.strictEqual(yield* check(who, access), "Unauthorized")
        }
        assert.deepStrictEqual(questions, [])
      })
    )
  }

  it.effect("include no names that only resemble them", () =>
    Effect.gen(function* () {
      const { check } = yield* asking(yes)
      for (const who of [
        identity("system"),
        identity("ann", "my-system:masters", "kubeadm", "admins2"),
        identity("kubeadm:x")
      ]) {
        assert.strictEqual(yield* check(who, listNamespaces), "allowed")
      }
    })
  )
})
