import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { EventRecorder, type Scaling } from "../../src/model/EventRecorder.ts"
import { DeploymentName, NamespaceName } from "../../src/contract/Names.ts"
import { ReplicaCount } from "../../src/contract/Names.ts"
import { ResourceVersion } from "../../src/model/ResourceVersion.ts"
import type { KubeEvent } from "../../src/kube/KubeApi.ts"
import { type KubeError, KubeStatusError, KubeUnreachable } from "../../src/kube/KubeErrors.ts"
import * as KubeEventRecorder from "../../src/kube/KubeEventRecorder.ts"
import { stubKubeApi } from "./ScriptedKube.ts"

const scaling = (changes: Partial<Scaling> = {}): Scaling => ({
  ref: { namespace: NamespaceName.make("personal"), name: DeploymentName.make("nginx") },
  uid: "d-1",
  resourceVersion: ResourceVersion.make("9"),
  from: ReplicaCount.make(12),
  to: ReplicaCount.make(38),
  user: "admin",
  groups: ["platform", "ops"],
  requestId: "r-1",
  at: Date.UTC(2026, 10, 24, 5, 6, 7, 890),
  ...changes
})

const unreachable = new KubeUnreachable({ operation: "create an event", message: "connection refused" })
const status = (code: number) =>
  new KubeStatusError({ operation: "create an event", code, reason: "", message: "", causes: [], inStream: false })

/** A recorder over a cluster with these responses in turn, which then accepts all Events; and the accepted Events. */
const recorder = (answers: Array<KubeError | "hang">) => {
  const taken: Array<KubeEvent> = []
  let asked = 0
  const api = stubKubeApi({
    createEvent: (event) =>
      Effect.suspend(() => {
        asked += 1
        const answer = answers.shift()
        if (answer === "hang") return Effect.never
        if (answer !== undefined) return Effect.fail(answer)
        return Effect.sync(() => void taken.push(event))
      })
  })
  return { taken, asked: () => asked, layer: Layer.provide(KubeEventRecorder.layer, api) }
}

const record = (...scalings: ReadonlyArray<Scaling>) =>
  Effect.flatMap(EventRecorder, (events) => Effect.forEach(scalings, events.record, { discard: true }))

describe("KubeEventRecorder", () => {
  it.effect("records one Event for each scaling, in order, with unique names", () => {
    const { layer, taken } = recorder([])
    return Effect.gen(function* () {
      yield* record(scaling(), scaling({ to: ReplicaCount.make(0), from: undefined, groups: [] }))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        taken.map(({ message }) => message),
        [
          "Replica count set from 12 to 38 by admin (platform, ops), request r-1",
          "Replica count set to 0 by admin, request r-1"
        ]
      )
      assert.strictEqual(new Set(taken.map(({ metadata }) => metadata.name)).size, 2)
      assert.strictEqual(taken[0]?.firstTimestamp, "2026-11-24T05:06:07Z")
    }).pipe(Effect.provide(layer))
  })

  it.effect("retries transient errors only, and records later Events", () => {
    const { asked, layer, taken } = recorder([unreachable, status(503), status(403)])
    return Effect.gen(function* () {
      yield* record(scaling({ requestId: "refused" }), scaling({ requestId: "taken" }))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(asked(), 4)
      assert.strictEqual(taken.length, 1)
      assert.include(taken[0]?.message, "request taken")
    }).pipe(Effect.provide(layer))
  })

  it.effect("does not block on a cluster that hangs, bounds its memory, and delays shutdown by 5 seconds", () => {
    const { layer } = recorder(["hang"])
    return Effect.gen(function* () {
      const scope = yield* Scope.make()
      const services = yield* Layer.buildWithScope(layer, scope)
      yield* Effect.provideContext(record(...Array.from({ length: 5000 }, () => scaling())), services)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 seconds")
      yield* Fiber.join(closing)
    })
  })

  it.effect("drains its queue on shutdown", () => {
    const { layer, taken } = recorder([])
    return Effect.gen(function* () {
      yield* Effect.provide(record(scaling(), scaling(), scaling()), layer)
      assert.strictEqual(taken.length, 3)
    })
  })

  it.prop(
    "gives every Event a valid name, and a message within the limit of Kubernetes",
    {
      name: DeploymentName,
      user: Schema.String,
      groups: Schema.Array(Schema.String),
      serial: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))
    },
    ({ groups, name, serial, user }) => {
      const event = KubeEventRecorder.eventOf(
        scaling({ ref: { namespace: NamespaceName.make("personal"), name }, user, groups }),
        "host",
        serial
      )
      assert.isTrue(Schema.is(DeploymentName)(event.metadata.name), event.metadata.name)
      assert.isAtMost(event.message.length, 1024)
    }
  )

  it("truncates the longest name to a valid one", () => {
    const name = DeploymentName.make(`${"a".repeat(236)}.-`.replace("-", "b".repeat(16)))
    const event = KubeEventRecorder.eventOf(
      scaling({ ref: { namespace: NamespaceName.make("personal"), name } }),
      "h",
      1
    )
    assert.isTrue(Schema.is(DeploymentName)(event.metadata.name), event.metadata.name)
    assert.isAtMost(event.metadata.name.length, 253)
  })
})
