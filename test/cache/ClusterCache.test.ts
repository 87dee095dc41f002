import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import { CacheFeed, CacheObserver, ClusterCache } from "../../src/cache/ClusterCache.ts"
import * as ViewReads from "../../src/cache/ViewReads.ts"
import type { ClusterEvent, WatchedResource } from "../../src/model/ClusterEvent.ts"
import { tagged } from "./Bodies.ts"
import { applied, dep, deployment, deployments, deploymentsOf, namespaces, ns } from "./Given.ts"

const heard = (resource: WatchedResource): ClusterEvent => ({ _tag: "Heard", resource })
const lost = (resource: WatchedResource): ClusterEvent => ({ _tag: "Lost", resource })

const age = Effect.gen(function* () {
  const cache = yield* ClusterCache
  return cache.age()
})

const feed = (...events: ReadonlyArray<ClusterEvent>) =>
  CacheFeed.use((feed) => Effect.forEach(events, feed.apply, { discard: true }))

describe("ClusterCache", () => {
  it.effect("applies the stream of events, and is synced after both lists", () =>
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<ClusterEvent>()
      yield* Effect.gen(function* () {
        const cache = yield* ClusterCache
        const synced = yield* Effect.forkChild(cache.awaitSynced, { startImmediately: true })
        yield* Queue.offer(queue, namespaces(1, "ns"))
        yield* TestClock.adjust(1)
        expect([cache.isSynced(), synced.pollUnsafe()]).toEqual([false, undefined])
        expect(ViewReads.hasNamespace(cache.current(), ns("ns"))).toBe(true)
        yield* Queue.offer(queue, deployments(1, ["ns/x", 3, 1]))
        yield* Fiber.join(synced)
        expect(cache.isSynced()).toBe(true)
        expect(ViewReads.replicaCountBody(cache.current(), ns("ns"), dep("x"))).toContain('"replica_count":3')
      }).pipe(Effect.provide(ClusterCache.layer(Stream.fromQueue(queue))))
    })
  )

  it.effect("shows a write at once, but not in a view taken before", () =>
    Effect.gen(function* () {
      const cache = yield* ClusterCache
      const before = cache.current()
      yield* cache.written(deployment("ns/x", 7, 5))
      expect(ViewReads.replicaCountBody(cache.current(), ns("ns"), dep("x"))).toContain('"replica_count":7')
      expect(ViewReads.replicaCountBody(before, ns("ns"), dep("x"))).toContain('"replica_count":3')
    }).pipe(Effect.provide(ClusterCache.layerMemory([namespaces(1, "ns"), deployments(1, ["ns/x", 3, 1])])))
  )

  it.effect("notifies subscribers before another fiber can see the change", () =>
    Effect.gen(function* () {
      const cache = yield* ClusterCache
      const tag = () => ViewReads.replicaCountTag(cache.current(), ns("ns"), dep("x"))
      const seen: Array<string | undefined> = []
      cache.subscribe(tagged({ _tag: "Counts", namespace: ns("ns"), deployment: dep("x") }), () => seen.push(tag()))
      yield* feed(applied("ns/x", 4, 2))
      yield* cache.written(deployment("ns/x", 7, 5))
      // The view is set after the notification, in the same step.
      expect([seen, tag()]).toEqual([['"3"', '"4"'], '"7"'])
    }).pipe(Effect.provide(ClusterCache.layerMemory([namespaces(1, "ns"), deployments(1, ["ns/x", 3, 1])])))
  )

  it.effect("emits the current view and the later ones, the newest one to a slow subscriber", () =>
    Effect.gen(function* () {
      const cache = yield* ClusterCache
      const seen: Array<number | undefined> = []
      const reached = Stream.runForEachWhile(cache.changes, (view) =>
        Effect.sync(() => {
          seen.push(ViewReads.getDeployment(view, { namespace: ns("ns"), name: dep("x") })?.replicas)
          return seen.at(-1) !== 50
        })
      )
      const following = yield* Effect.forkChild(reached, { startImmediately: true })
      yield* TestClock.adjust(0)
      for (let replicas = 4; replicas <= 50; replicas++) yield* cache.written(deployment("ns/x", replicas, replicas))
      yield* Fiber.join(following)
      expect(seen[0]).toBe(3)
      expect(seen.at(-1)).toBe(50)
      expect(seen).toEqual([...seen].sort((a, b) => (a ?? 0) - (b ?? 0)))
    }).pipe(Effect.provide(ClusterCache.layerMemory([namespaces(1, "ns"), deployments(1, ["ns/x", 3, 1])])))
  )

  it.effect("has an age of 0 while both watches are live, then of the seconds since the last event", () =>
    Effect.gen(function* () {
      expect(yield* age).toBe(0)
      yield* TestClock.adjust("1 hour")
      expect(yield* age).toBe(0)
      yield* feed(heard("namespaces"))
      yield* TestClock.adjust("5 seconds")
      yield* feed(heard("deployments"))
      yield* TestClock.adjust("1 seconds")
      yield* feed(lost("deployments"))
      expect(yield* age).toBe(1)
      yield* TestClock.adjust("1999 millis")
      expect(yield* age).toBe(2)
      yield* feed(lost("namespaces"))
      expect(yield* age).toBe(7)
      yield* feed(heard("namespaces"), heard("deployments"))
      expect(yield* age).toBe(0)
    }).pipe(Effect.provide(ClusterCache.layerMemory([heard("namespaces"), heard("deployments")])))
  )

  it.effect("counts the age from the start before any event, and renews it with a list without a watch", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("9 seconds")
      expect(yield* age).toBe(9)
      yield* feed(namespaces(1), deployments(1))
      expect(yield* age).toBe(0)
      yield* TestClock.adjust("3 seconds")
      expect(yield* age).toBe(3)
      yield* feed(applied("ns/x", 1, 2), heard("namespaces"))
      yield* TestClock.adjust("3 seconds")
      expect(yield* age).toBe(0)
    }).pipe(Effect.provide(ClusterCache.layerMemory()))
  )

  it.effect("counts the age from the time in an event", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("60 seconds")
      yield* feed(
        namespaces(1),
        deployments(1),
        { _tag: "Heard", resource: "namespaces", heardAt: 20_000 },
        heard("deployments")
      )
      expect(yield* age).toBe(0)
      yield* feed(lost("namespaces"))
      expect(yield* age).toBe(40)
      yield* feed({ _tag: "Lost", resource: "deployments", heardAt: 10_000 })
      expect(yield* age).toBe(50)
      yield* feed(heard("deployments"), { _tag: "Lost", resource: "namespaces", heardAt: 57_000 })
      expect(yield* age).toBe(3)
    }).pipe(Effect.provide(ClusterCache.layerMemory()))
  )

  it.effect("counts the age from the last sign once the source's word that the watches are live expires", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("60 seconds")
      const renewed = (liveUntil: number) =>
        feed({ _tag: "Heard", resource: "namespaces", heardAt: 58_000, liveUntil }, heard("deployments"))
      yield* feed(namespaces(1), deployments(1))
      yield* renewed(60_900)
      yield* TestClock.adjust(899)
      expect(yield* age).toBe(0)
      yield* TestClock.adjust(1101)
      expect(yield* age).toBe(4)
      yield* renewed(63_000)
      expect(yield* age).toBe(0)
    }).pipe(Effect.provide(ClusterCache.layerMemory()))
  )

  it.effect("is synced, with an age of 0, once each watched namespace is", () =>
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<ClusterEvent>()
      yield* Effect.gen(function* () {
        const cache = yield* ClusterCache
        const told = (...events: ReadonlyArray<ClusterEvent>) =>
          Effect.andThen(Queue.offerAll(queue, events), TestClock.adjust(1))
        yield* told(namespaces(0, "a", "b"), heard("namespaces"))
        yield* told(deploymentsOf("a", 5, ["a/x", 3, 1]), {
          _tag: "Heard",
          resource: "deployments",
          namespace: ns("a")
        })
        yield* TestClock.adjust("4 seconds")
        expect([cache.isSynced(), yield* age]).toEqual([false, 4])
        yield* told(deploymentsOf("b", 9, ["b/x", 4, 8]), {
          _tag: "Heard",
          resource: "deployments",
          namespace: ns("b")
        })
        expect([cache.isSynced(), yield* age]).toEqual([true, 0])
        yield* told({ _tag: "Lost", resource: "deployments", namespace: ns("b") })
        yield* TestClock.adjust("3 seconds")
        yield* told(applied("a/x", 7, 7))
        expect(yield* age).toBe(3)
        yield* told(applied("b/x", 5, 10))
        expect(yield* age).toBe(0)
        expect(ViewReads.replicaCountBody(cache.current(), ns("a"), dep("x"))).toContain('"replica_count":7')
        expect(ViewReads.replicaCountBody(cache.current(), ns("b"), dep("x"))).toContain('"replica_count":5')
      }).pipe(Effect.provide(ClusterCache.layer(Stream.fromQueue(queue), [ns("a"), ns("b")])))
    })
  )

  it.effect("reports a defect in the stream", () =>
    Effect.gen(function* () {
      const cache = yield* ClusterCache
      const exit = yield* Effect.exit(cache.failed)
      expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toEqual(new Error("boom"))
      expect(ViewReads.hasNamespace(cache.current(), ns("ns"))).toBe(true)
    }).pipe(
      Effect.provide(ClusterCache.layer(Stream.concat(Stream.make(namespaces(1, "ns")), Stream.die(new Error("boom")))))
    )
  )

  it.effect("reports the end of the stream as a defect", () =>
    Effect.gen(function* () {
      const cache = yield* ClusterCache
      const exit = yield* Effect.exit(cache.failed)
      expect(Exit.isFailure(exit) && Cause.hasDies(exit.cause)).toBe(true)
    }).pipe(Effect.provide(ClusterCache.layer(Stream.make(namespaces(1, "ns")))))
  )

  it.effect("ends the stream without a failure when its scope closes", () =>
    Effect.gen(function* () {
      let ended = false
      const events = Stream.ensuring(
        Stream.never,
        Effect.sync(() => {
          ended = true
        })
      )
      const failed = yield* Effect.gen(function* () {
        const cache = yield* ClusterCache
        yield* TestClock.adjust(1)
        return yield* Effect.forkDetach(cache.failed, { startImmediately: true })
      }).pipe(Effect.provide(ClusterCache.layer(events)))
      expect([ended, failed.pollUnsafe()]).toEqual([true, undefined])
      yield* Fiber.interrupt(failed)
    })
  )

  it.effect("passes each event and its time to the observer", () => {
    const told: Array<readonly [string, number]> = []
    return Effect.gen(function* () {
      yield* TestClock.adjust(250)
      yield* feed(heard("deployments"), applied("ns/x", 1, 2))
      expect(told).toEqual([
        ["NamespacesReplaced", 0],
        ["Heard", 250],
        ["DeploymentApplied", 250]
      ])
    }).pipe(
      Effect.provide(
        ClusterCache.layerMemory([namespaces(1)]).pipe(
          Layer.provide(
            Layer.succeed(CacheObserver, { applied: (event, atMillis) => void told.push([event._tag, atMillis]) })
          )
        )
      )
    )
  })
})
