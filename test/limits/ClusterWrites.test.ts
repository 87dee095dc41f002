import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as ClusterWrites from "../../src/limits/ClusterWrites.ts"
import { RequestContext } from "../../src/identity/RequestContext.ts"
import { DeploymentScaler, unconditional } from "../../src/model/DeploymentScaler.ts"
import { ClusterUnavailable } from "../../src/contract/Problems.ts"
import { DeploymentName, NamespaceName } from "../../src/contract/Names.ts"
import { ReplicaCount } from "../../src/contract/Names.ts"
import { ResourceVersion } from "../../src/model/ResourceVersion.ts"

const ref = { namespace: NamespaceName.make("personal"), name: DeploymentName.make("nginx") }

/** A cluster that accepts a write when the test says so, and records the requests. */
const makeCluster = Effect.sync(() => {
  const asked: Array<{ readonly replicas: number; readonly taken: Deferred.Deferred<void, ClusterUnavailable> }> = []
  let open = 0
  return {
    asked,
    open: () => open,
    layer: Layer.succeed(DeploymentScaler, {
      scale: (ref, replicas) =>
        Effect.gen(function* () {
          const taken = yield* Deferred.make<void, ClusterUnavailable>()
          asked.push({ replicas, taken })
          open++
          yield* Effect.ensuring(
            Deferred.await(taken),
            Effect.sync(() => open--)
          )
          return { ...ref, replicas, resourceVersion: ResourceVersion.make("1"), uid: undefined }
        })
    })
  }
})

const writeAs = (user: string, replicas: number) =>
  Effect.flatMap(DeploymentScaler, (scaler) => scaler.scale(ref, ReplicaCount.make(replicas), unconditional)).pipe(
    Effect.updateService(RequestContext, (context) => ({
      ...context,
      identity: { user, groups: [], serialNumber: "1", issuer: "CN=ca", expiresAt: Infinity, spiffeIds: [] }
    }))
  )

const limits = { maxClusterWrites: 2, maxQueuedWrites: 4 }

/** Starts writes of a user, and waits until each is sent, queued or refused. */
const startAll = (user: string, counts: ReadonlyArray<number>) =>
  Effect.forEach(counts, (replicas) =>
    Effect.forkChild(Effect.result(writeAs(user, replicas)), { startImmediately: true })
  )

const expectFull = (result: unknown) => {
  assert(typeof result === "object" && result !== null && "failure" in result)
  assert.instanceOf(result.failure, ClusterUnavailable)
}

describe("ClusterWrites", () => {
  it.effect("bounds concurrent writes and the queue, and refuses the rest at once", () =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster
      yield* Effect.gen(function* () {
        const ours = yield* startAll("a", [1, 2, 3])
        const theirs = yield* startAll("b", [4, 5, 6])
        const beyond = yield* Effect.flatMap(startAll("c", [7]), Effect.forEach(Fiber.join))
        expectFull(beyond[0])
        assert.deepStrictEqual(
          cluster.asked.map(({ replicas }) => replicas),
          [1, 2]
        )
        for (let at = 0; at < 6; at++) {
          assert.isAtMost(cluster.open(), 2)
          const next = cluster.asked[at]
          assert.isDefined(next)
          yield* Deferred.succeed(next.taken, undefined)
          yield* TestClock.adjust(0)
        }
        for (const fiber of [...ours, ...theirs]) assert.strictEqual((yield* Fiber.join(fiber))._tag, "Success")
      }).pipe(Effect.provide(Layer.provide(ClusterWrites.layer(limits), cluster.layer)))
    })
  )

  it.effect("serves users in turn, and gives one at most half of the queue", () =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster
      yield* Effect.gen(function* () {
        const greedy = yield* startAll("greedy", [1, 2, 3, 4, 5])
        const refused = greedy.slice(3)
        for (const fiber of refused) expectFull(yield* Fiber.join(fiber))
        yield* startAll("late", [10, 11])
        yield* startAll("later", [20])
        for (let at = 0; at < 6; at++) {
          const next = cluster.asked[at]
          assert.isDefined(next)
          yield* Deferred.succeed(next.taken, undefined)
          yield* TestClock.adjust(0)
        }
        const order = cluster.asked.map(({ replicas }) => replicas)
        assert.sameMembers(order, [1, 2, 3, 10, 11, 20])
        assert.isBelow(order.indexOf(20), order.indexOf(11))
      }).pipe(Effect.provide(Layer.provide(ClusterWrites.layer(limits), cluster.layer)))
    })
  )

  it.effect("frees the place of a failed write, and of one interrupted in the queue or in flight", () =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster
      yield* Effect.gen(function* () {
        for (let round = 0; round < 20; round++) {
          const before = cluster.asked.length
          const fibers = [...(yield* startAll("a", [1, 2, 3])), ...(yield* startAll("b", [4, 5, 6]))]
          assert.strictEqual(cluster.asked.length, before + 2)
          const first = cluster.asked[before]
          assert.isDefined(first)
          yield* Deferred.fail(first.taken, new ClusterUnavailable({ detail: "test" }))
          yield* TestClock.adjust(0)
          yield* Fiber.interruptAll(fibers)
          assert.strictEqual(cluster.open(), 0)
        }
        const asked = cluster.asked.length
        const [again] = yield* startAll("a", [9])
        assert.isDefined(again)
        const last = cluster.asked[asked]
        assert.isDefined(last)
        yield* Deferred.succeed(last.taken, undefined)
        assert.strictEqual((yield* Fiber.join(again))._tag, "Success")
      }).pipe(Effect.provide(Layer.provide(ClusterWrites.layer(limits), cluster.layer)))
    })
  )

  it.effect("cancels a queued write also where the write itself is uninterruptible", () =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster
      yield* Effect.gen(function* () {
        const fibers = yield* Effect.forEach([1, 2, 3], (replicas) =>
          Effect.forkChild(writeAs("a", replicas), { startImmediately: true, uninterruptible: true })
        )
        const waiting = fibers[2]
        assert.isDefined(waiting)
        yield* Fiber.interrupt(waiting)
        for (const { taken } of cluster.asked) yield* Deferred.succeed(taken, undefined)
        yield* Effect.forEach(fibers, Fiber.await)
        assert.deepStrictEqual(
          cluster.asked.map(({ replicas }) => replicas),
          [1, 2]
        )
      }).pipe(Effect.provide(Layer.provide(ClusterWrites.layer(limits), cluster.layer)))
    })
  )
})
