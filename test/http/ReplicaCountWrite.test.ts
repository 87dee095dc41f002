import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as ReplicaCountWrite from "../../src/http/ReplicaCountWrite.ts"
import { ClusterCache } from "../../src/cache/ClusterCache.ts"
import { DeploymentScaler } from "../../src/model/DeploymentScaler.ts"
import * as EventRecorder from "../../src/model/EventRecorder.ts"
import { DeploymentName, NamespaceName } from "../../src/contract/Names.ts"
import { ReplicaCount } from "../../src/contract/Names.ts"
import { ResourceVersion } from "../../src/model/ResourceVersion.ts"
import { Audit, type AuditRecord } from "../../src/observability/Audit.ts"

const ref = { namespace: NamespaceName.make("personal"), name: DeploymentName.make("nginx") }
const version = ResourceVersion.make("1")

describe("a write that outlives its request", () => {
  it.effect("leaves its late record also when the service ends meanwhile", () =>
    Effect.gen(function* () {
      const records: Array<AuditRecord> = []
      const services = yield* Layer.build(
        Layer.mergeAll(
          ClusterCache.layerMemory([
            {
              _tag: "NamespacesReplaced",
              items: [{ name: ref.namespace, resourceVersion: version }],
              resourceVersion: version
            },
            { _tag: "DeploymentsReplaced", items: [], resourceVersion: version }
          ]),
          Audit.layerMemory(records),
          EventRecorder.layerNone,
          Layer.succeed(DeploymentScaler, {
            scale: (of, replicas) =>
              Effect.delay(Effect.succeed({ ...of, replicas, resourceVersion: version, uid: undefined }), "5 seconds")
          })
        )
      )
      const scope = yield* Scope.make()
      const write = yield* ReplicaCountWrite.make(Duration.seconds(1)).pipe(
        Effect.provideContext(services),
        Scope.provide(scope)
      )
      const answering = yield* Effect.forkChild(
        Effect.flip(write(ref, ReplicaCount.make(3), { precondition: ReplicaCount.make(2), dryRun: false }))
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(answering)).code, "RequestTimeout")
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(
        records.map(({ dryRun, ifMatch, late, outcome }) => ({ dryRun, ifMatch, late, outcome })),
        [{ dryRun: false, ifMatch: '"2"', late: true, outcome: "accepted" }]
      )
    })
  )
})
