import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { DeploymentScaler } from "../../src/model/DeploymentScaler.ts"
import { DeploymentName, NamespaceName } from "../../src/contract/Names.ts"
import { ReplicaCount } from "../../src/contract/Names.ts"
import { ResourceVersion } from "../../src/model/ResourceVersion.ts"
import { KubeDecodeError, type KubeError, KubeStatusError, KubeUnreachable } from "../../src/kube/KubeErrors.ts"
import * as KubeScaler from "../../src/kube/KubeScaler.ts"
import { stubKubeApi } from "./ScriptedKube.ts"

const ref = { namespace: NamespaceName.make("personal"), name: DeploymentName.make("nginx") }
const accepted = { ...ref, replicas: ReplicaCount.make(3), resourceVersion: ResourceVersion.make("9"), uid: "d1" }

/** The result of scaling with these responses, and the number of requests. */
const scaling = Effect.fnUntraced(function* (answers: ReadonlyArray<KubeError>) {
  let asked = 0
  const api = stubKubeApi({
    scale: () =>
      Effect.suspend(() => {
        const answer = answers[asked]
        asked += 1
        return answer === undefined ? Effect.succeed(accepted) : Effect.fail(answer)
      })
  })
  const fiber = yield* Effect.flatMap(DeploymentScaler, (scaler) => scaler.scale(ref, accepted.replicas)).pipe(
    Effect.result,
    Effect.provide(Layer.provide(KubeScaler.layer, api)),
    Effect.forkChild
  )
  yield* TestClock.adjust("5 seconds")
  return { result: yield* Fiber.join(fiber), asked }
})

const answered = (code: number, message = "", retryAfter?: Duration.Duration) =>
  new KubeStatusError({
    operation: "scale",
    code,
    reason: "",
    message,
    causes: [],
    ...(retryAfter === undefined ? {} : { retryAfter }),
    inStream: false
  })

describe("KubeScaler", () => {
  it.effect("succeeds with the deployment as the cluster accepted it", () =>
    Effect.gen(function* () {
      const { result } = yield* scaling([])
      assert(result._tag === "Success")
      assert.deepStrictEqual(result.success, accepted)
    })
  )

  it.effect.each([
    { code: 404, tag: "NotFound" },
    { code: 401, tag: "ClusterUnavailable" },
    { code: 403, tag: "Unauthorized" },
    { code: 400, tag: "Unauthorized" },
    { code: 422, tag: "Unauthorized" },
    { code: 429, tag: "ClusterUnavailable" },
    { code: 500, tag: "ClusterUnavailable" },
    { code: 503, tag: "ClusterUnavailable" }
  ])("translates $code to $tag without a retry", ({ code, tag }) =>
    Effect.gen(function* () {
      const { asked, result } = yield* scaling([answered(code)])
      assert(result._tag === "Failure")
      assert.strictEqual(result.failure._tag, tag)
      assert.strictEqual(asked, 1)
    })
  )

  it.effect("passes on the reason of a rejection", () =>
    Effect.gen(function* () {
      const { result } = yield* scaling([answered(403, "nginx is frozen")])
      assert(result._tag === "Failure" && result.failure._tag === "Unauthorized")
      assert.strictEqual(result.failure.detail, "The cluster refused the write: nginx is frozen")
    })
  )

  it.effect("rounds Retry-After up to whole seconds, at least one", () =>
    Effect.gen(function* () {
      for (const [asks, gives] of [
        [Duration.millis(6500), 7],
        [Duration.zero, 1],
        [undefined, 1]
      ] as const) {
        const { result } = yield* scaling([answered(429, "", asks)])
        assert(result._tag === "Failure" && result.failure._tag === "ClusterUnavailable")
        assert.strictEqual(result.failure.retryAfterSeconds, gives)
      }
    })
  )

  it.effect("retries a conflict, and gives up after five attempts", () =>
    Effect.gen(function* () {
      const cured = yield* scaling([answered(409), answered(409)])
      assert.strictEqual(cured.result._tag, "Success")
      assert.strictEqual(cured.asked, 3)
      const stubborn = yield* scaling(Array.from({ length: 20 }, () => answered(409)))
      assert(stubborn.result._tag === "Failure")
      assert.strictEqual(stubborn.result.failure._tag, "ClusterUnavailable")
      assert.strictEqual(stubborn.asked, 5)
    })
  )

  it.effect("hides the address of the cluster", () =>
    Effect.gen(function* () {
      const message = "connect ECONNREFUSED 10.0.0.1:6443"
      for (const error of [
        new KubeUnreachable({ operation: "scale", message }),
        new KubeDecodeError({ operation: "scale", message })
      ]) {
        const { result } = yield* scaling([error])
        assert(result._tag === "Failure" && result.failure._tag === "ClusterUnavailable")
        assert.notInclude(JSON.stringify(result.failure), "10.0.0.1")
      }
    })
  )
})
