import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger } from "effect"
import { AccessReviewer } from "../../src/model/AccessReviewer.ts"
import * as KubeAccessReviewer from "../../src/kube/KubeAccessReviewer.ts"
import { KubeDecodeError, type KubeError, KubeStatusError, KubeUnreachable } from "../../src/kube/KubeErrors.ts"
import { stubKubeApi } from "./ScriptedKube.ts"

const question = { subject: { user: "ann", groups: [] }, access: { verb: "list", group: "", resource: "namespaces" } }

const answered = (code: number, retryAfter?: Duration.Duration) =>
  new KubeStatusError({
    operation: "review access",
    code,
    reason: "",
    message: "at https://10.0.0.1:6443",
    causes: [],
    ...(retryAfter === undefined ? {} : { retryAfter }),
    inStream: false
  })
const unreachable = new KubeUnreachable({ operation: "review access", message: "connect ECONNREFUSED 10.0.0.1:6443" })

/** The results and log records of reviews with these responses in turn. */
const reviewing = Effect.fnUntraced(function* (answers: ReadonlyArray<boolean | KubeError>) {
  const left = [...answers]
  const logged: Array<string> = []
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    logged.push(`${logLevel}: ${String(message)}`)
  })
  const api = stubKubeApi({
    accessReview: () =>
      Effect.suspend(() => {
        const answer = left.shift() ?? false
        return typeof answer === "boolean" ? Effect.succeed({ allowed: answer, reason: "" }) : Effect.fail(answer)
      })
  })
  const results = yield* Effect.flatMap(AccessReviewer, ({ review }) =>
    Effect.forEach(answers, () => Effect.result(review(question)))
  ).pipe(Effect.provide(Layer.merge(Layer.provide(KubeAccessReviewer.layer, api), Logger.layer([logger]))))
  return { results, logged }
})

describe("KubeAccessReviewer", () => {
  it.effect("succeeds with the decision of the cluster", () =>
    Effect.gen(function* () {
      const { logged, results } = yield* reviewing([true, false])
      assert.deepStrictEqual(
        results.map((result) => (result._tag === "Success" ? result.success : undefined)),
        [true, false]
      )
      assert.deepStrictEqual(logged, [])
    })
  )

  it.effect("fails with ClusterUnavailable without a decision, and hides the address of the cluster", () =>
    Effect.gen(function* () {
      const errors = [
        unreachable,
        new KubeDecodeError({ operation: "review access", message: "not JSON" }),
        ...[401, 403, 404, 429, 500, 503].map((code) => answered(code))
      ]
      const { results } = yield* reviewing(errors)
      for (const result of results) {
        assert(result._tag === "Failure")
        assert.strictEqual(result.failure._tag, "ClusterUnavailable")
        assert.strictEqual(result.failure.retryAfterSeconds, 1)
        assert.notMatch(result.failure.detail, /10\.0\.0\.1|6443/)
      }
    })
  )

  it.effect("passes on the Retry-After of the cluster", () =>
    Effect.gen(function* () {
      const { results } = yield* reviewing([answered(429, Duration.seconds(7))])
      const [result] = results
      assert(result?._tag === "Failure")
      assert.strictEqual(result.failure.retryAfterSeconds, 7)
    })
  )

  it.effect("logs when reviews begin to fail and when they succeed again", () =>
    Effect.gen(function* () {
      const { logged } = yield* reviewing([true, unreachable, unreachable, answered(500), true, false, unreachable])
      assert.deepStrictEqual(logged, [
        "Warn: Access reviews fail",
        "Info: Access reviews succeed again",
        "Warn: Access reviews fail"
      ])
    })
  )

  it.effect("names the permission to grant when the review is denied", () =>
    Effect.gen(function* () {
      const { logged } = yield* reviewing([answered(403), answered(403)])
      assert.strictEqual(logged.length, 1)
      assert.match(logged[0] ?? "", /^Error: .*`create` on `subjectaccessreviews\.authorization\.k8s\.io`/)
    })
  )
})
