import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { DeploymentScaler, type ScaleOptions, unconditional } from "../../src/model/DeploymentScaler.ts"
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
  const fiber = yield* Effect.flatMap(DeploymentScaler, (scaler) =>
    scaler.scale(ref, accepted.replicas, unconditional)
  ).pipe(Effect.result, Effect.provide(Layer.provide(KubeScaler.layer, api)), Effect.forkChild)
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

/** An answer of the scripted cluster: an error, or the count of the scale. */
type Answer = KubeError | number

const scaleOf = (replicas: number) => ({ ...accepted, replicas: ReplicaCount.make(replicas) })

/** The result of setting 3 where 12 is expected, and the requests, with these responses to writes and reads. */
const conditional = Effect.fnUntraced(function* (
  writes: ReadonlyArray<Answer>,
  reads: ReadonlyArray<Answer>,
  options: { readonly ifCount?: number; readonly dryRun?: boolean; readonly replicas?: number } = {}
) {
  const { dryRun = false, ifCount = 12, replicas = 3 } = options
  const requests: Array<string> = []
  const answering = (kind: string, answers: ReadonlyArray<Answer>) => {
    let at = 0
    return Effect.suspend(() => {
      requests.push(kind)
      const answer = answers[at++] ?? assert.fail(`unexpected ${kind}`)
      return typeof answer === "number" ? Effect.succeed(scaleOf(answer)) : Effect.fail(answer)
    })
  }
  const write = answering("write", writes)
  const read = answering("read", reads)
  const asked: Array<ScaleOptions> = []
  const api = stubKubeApi({
    scale: (_, __, asks) =>
      Effect.andThen(
        Effect.sync(() => asked.push(asks)),
        write
      ),
    getScale: () => read
  })
  const fiber = yield* Effect.flatMap(DeploymentScaler, (scaler) =>
    scaler.scale(ref, ReplicaCount.make(replicas), { ifCount: ReplicaCount.make(ifCount), dryRun })
  ).pipe(Effect.result, Effect.provide(Layer.provide(KubeScaler.layer, api)), Effect.forkChild)
  yield* TestClock.adjust("5 seconds")
  const result = yield* Fiber.join(fiber)
  for (const asks of asked) assert.deepStrictEqual(asks, { ifCount: ReplicaCount.make(ifCount), dryRun })
  return { requests, result }
})

const invalid = answered(422, "the server rejected our request due to an error in our request")

describe("a conditional write", () => {
  it.effect("that the cluster accepts is one request", () =>
    Effect.gen(function* () {
      for (const dryRun of [false, true]) {
        const { requests, result } = yield* conditional([3], [], { dryRun })
        assert(result._tag === "Success")
        assert.deepStrictEqual(result.success, scaleOf(3))
        assert.deepStrictEqual(requests, ["write"])
      }
    })
  )

  it.effect("fails with the current count if the test failed", () =>
    Effect.gen(function* () {
      for (const current of [0, 13]) {
        const { requests, result } = yield* conditional([invalid], [current])
        assert(result._tag === "Failure" && result.failure._tag === "PreconditionFailed")
        assert.strictEqual(result.failure.current, current)
        assert.include(result.failure.detail, `has the count ${current}, not 12`)
        assert.deepStrictEqual(requests, ["write", "read"])
      }
    })
  )

  it.effect("succeeds if the deployment has the count to set already, so that a retry is safe", () =>
    Effect.gen(function* () {
      const { requests, result } = yield* conditional([invalid], [3])
      assert(result._tag === "Success")
      assert.deepStrictEqual(result.success, { ...scaleOf(3), alreadySet: true })
      assert.deepStrictEqual(requests, ["write", "read"])
    })
  )

  it.effect("passes on a refusal of the cluster if the count is the expected one", () =>
    Effect.gen(function* () {
      const denied = answered(422, "admission webhook denied the request")
      for (const replicas of [3, 12]) {
        const { requests, result } = yield* conditional([denied, denied], [12, 12], { replicas })
        assert(result._tag === "Failure" && result.failure._tag === "Unauthorized")
        assert.strictEqual(result.failure.detail, "The cluster refused the write: admission webhook denied the request")
        assert.deepStrictEqual(requests, ["write", "read", "write", "read"])
      }
    })
  )

  it.effect("is tried again if the count has changed and changed back", () =>
    Effect.gen(function* () {
      const { requests, result } = yield* conditional([invalid, 3], [12])
      assert.strictEqual(result._tag, "Success")
      assert.deepStrictEqual(requests, ["write", "read", "write"])
      const moved = yield* conditional([invalid, invalid], [12, 14])
      assert(moved.result._tag === "Failure" && moved.result.failure._tag === "PreconditionFailed")
      assert.strictEqual(moved.result.failure.current, 14)
    })
  )

  it.effect("expects a count of 0 like any other", () =>
    Effect.gen(function* () {
      const { result } = yield* conditional([invalid, invalid], [0, 0], { ifCount: 0 })
      assert(result._tag === "Failure")
      assert.strictEqual(result.failure._tag, "Unauthorized")
    })
  )

  it.effect("retries a conflict", () =>
    Effect.gen(function* () {
      const { requests, result } = yield* conditional([answered(409), answered(409), 3], [])
      assert.strictEqual(result._tag, "Success")
      assert.strictEqual(requests.length, 3)
    })
  )

  it.effect.each([
    { code: 404, tag: "NotFound" },
    { code: 400, tag: "Unauthorized" },
    { code: 403, tag: "Unauthorized" },
    { code: 500, tag: "ClusterUnavailable" }
  ])("translates $code to $tag without a read", ({ code, tag }) =>
    Effect.gen(function* () {
      const { requests, result } = yield* conditional([answered(code)], [])
      assert(result._tag === "Failure")
      assert.strictEqual(result.failure._tag, tag)
      assert.deepStrictEqual(requests, ["write"])
    })
  )

  it.effect("fails with ClusterUnavailable if the current count cannot be read, and NotFound if it is gone", () =>
    Effect.gen(function* () {
      const unreachable = new KubeUnreachable({ operation: "get", message: "connect ECONNREFUSED 10.0.0.1:6443" })
      for (const error of [answered(403, "no get for 10.0.0.1"), answered(500), unreachable]) {
        const { result } = yield* conditional([invalid], [error])
        assert(result._tag === "Failure" && result.failure._tag === "ClusterUnavailable")
        assert.strictEqual(result.failure.retryAfterSeconds, 1)
        assert.notInclude(JSON.stringify(result.failure), "10.0.0.1")
      }
      const busy = yield* conditional([invalid], [answered(429, "", Duration.seconds(7))])
      assert(busy.result._tag === "Failure" && busy.result.failure._tag === "ClusterUnavailable")
      assert.strictEqual(busy.result.failure.retryAfterSeconds, 7)
      const gone = yield* conditional([invalid], [answered(404)])
      assert(gone.result._tag === "Failure")
      assert.strictEqual(gone.result.failure._tag, "NotFound")
    })
  )

  it.effect("outside the namespaces of the service is NotFound without a request", () =>
    Effect.gen(function* () {
      const api = stubKubeApi({ scale: () => Effect.die(new Error("a request")) })
      const error = yield* Effect.flatMap(DeploymentScaler, (scaler) =>
        scaler.scale(ref, accepted.replicas, { ifCount: ReplicaCount.make(1), dryRun: true })
      ).pipe(Effect.flip, Effect.provide(Layer.provide(KubeScaler.layerNamespaces([NamespaceName.make("other")]), api)))
      assert.strictEqual(error._tag, "NotFound")
    })
  )
})
