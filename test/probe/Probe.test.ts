import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Metric, Schema } from "effect"
import { PrometheusMetrics } from "effect/observability"
import * as Client from "../../src/client/Client.ts"
import { DeploymentName, NamespaceName } from "../../src/contract/Names.ts"
import { ClusterUnavailable } from "../../src/contract/Problems.ts"
import { DeploymentScaler } from "../../src/model/DeploymentScaler.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { Authorization } from "../../src/authorization/Authorization.ts"
import * as Probe from "../../src/probe/Probe.ts"
import * as ProbeMetrics from "../../src/probe/ProbeMetrics.ts"
import { pem } from "../support/Pki.ts"
import { type Overrides, TestService } from "../support/TestService.ts"

const canary = {
  namespace: Schema.decodeUnknownSync(NamespaceName)("personal"),
  name: Schema.decodeUnknownSync(DeploymentName)("canary")
}

const seed = { empty: {}, personal: { canary: 1, nginx: 12 } }

const service = (overrides: Overrides = {}) => TestService.layer({ kube: { seed }, ...overrides })

const probe = (options: Partial<Probe.ProbeOptions> = {}, who = "admin") =>
  Effect.gen(function* () {
    const { port } = yield* TestService
    const client = yield* Client.make(`https://localhost:${port}`).pipe(
      Effect.provide(Client.layerMutualTls({ ca: pem("ca.crt"), cert: pem(`${who}.crt`), key: pem(`${who}.key`) }), {
        local: true
      })
    )
    return yield* Probe.run(client, { canary: undefined, timeout: "5 seconds", ...options })
  })

/** A cluster whose writes are slow and then fail. */
const slow = Layer.succeed(DeploymentScaler, {
  scale: () => Effect.delay(Effect.fail(new ClusterUnavailable({ detail: "too late" })), "600 millis")
})

const outcomes = (results: ReadonlyArray<Probe.StepResult>) =>
  results.map(({ problem, step }) => (problem === undefined ? step : `${step}: ${problem}`))

const reading = ["readiness", "list_namespaces", "list_deployments", "get_replica_count"]

describe("Probe.run", () => {
  it.live("reads, and writes nothing without a canary", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(outcomes(yield* probe()), reading)
      const kube = yield* EmbeddedKube
      assert.isEmpty((yield* kube.requests).filter(({ method }) => method !== "GET"))
    }).pipe(Effect.provide(service()))
  )

  it.live("sets the canary to 0 and 1 in turn, and reads it back", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      for (const expected of [0, 1]) {
        assert.deepStrictEqual(outcomes(yield* probe({ canary })), [...Probe.steps])
        const { deployments } = yield* kube.snapshot
        assert.strictEqual(deployments.find(({ name }) => name === "canary")?.replicas, expected)
        assert.strictEqual(deployments.find(({ name }) => name === "nginx")?.replicas, 12)
      }
    }).pipe(Effect.provide(service()))
  )

  it.live("does not write a canary that has more than one replica", () =>
    Effect.gen(function* () {
      const [problem] = (yield* probe({ canary })).slice(-1)
      assert.strictEqual(problem?.step, "set_replica_count")
      assert.include(problem?.problem, "has 3 replicas")
      const kube = yield* EmbeddedKube
      assert.isEmpty((yield* kube.requests).filter(({ method }) => method !== "GET"))
    }).pipe(Effect.provide(service({ kube: { seed: { personal: { canary: 3 } } } })))
  )

  it.live("reports a canary that does not exist", () =>
    Effect.gen(function* () {
      const [problem] = outcomes(yield* probe({ canary })).slice(-1)
      assert.include(problem, "list_deployments: Unexpected: the canary canary is not listed in namespace personal")
    }).pipe(Effect.provide(service({ kube: { seed: { personal: { nginx: 1 } } } })))
  )

  it.live("stops after the lists in a cluster without deployments", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(outcomes(yield* probe()), reading.slice(0, 3))
    }).pipe(Effect.provide(service({ kube: { seed: { empty: {} } } })))
  )

  it.live("stops at the first step that fails, with the service's message", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(outcomes(yield* probe({}, "viewer")), [
        "readiness",
        "list_namespaces",
        "list_deployments",
        "get_replica_count: Unauthorized: viewer may not get the replica count of canary in namespace personal."
      ])
    }).pipe(
      Effect.provide(
        service({ authorizer: Authorization.layerScripted((_, { resource }) => resource !== "replica_count") })
      )
    )
  )

  it.live("fails the readiness step if the service is not ready", () =>
    Effect.gen(function* () {
      const [problem] = outcomes(yield* probe())
      assert.include(problem, "readiness: NotReady")
    }).pipe(
      Effect.provide(service({ unsynced: Effect.flatMap(EmbeddedKube, ({ faults }) => faults.unavailable(true)) }))
    )
  )

  it.live("fails a step that exceeds the timeout", () =>
    Effect.gen(function* () {
      const [problem] = outcomes(yield* probe({ canary, timeout: "200 millis" })).slice(-1)
      assert.include(problem, "set_replica_count: no answer within")
    }).pipe(Effect.provide(service({ scaler: slow })))
  )
})

describe("ProbeMetrics", () => {
  it.effect("records each step's success, and nothing for steps that did not run", () =>
    Effect.gen(function* () {
      yield* ProbeMetrics.record([
        { step: "readiness", durationMillis: 5, problem: undefined },
        { step: "list_namespaces", durationMillis: 5, problem: undefined }
      ])
      const first = yield* PrometheusMetrics.format()
      assert.include(first, 'synthetic_query_success{step="list_namespaces"} 1\n')
      assert.include(first, 'synthetic_query_runs_total{result="success"} 1\n')
      yield* ProbeMetrics.record([{ step: "readiness", durationMillis: 7, problem: "gone" }])
      const second = yield* PrometheusMetrics.format()
      assert.include(second, 'synthetic_query_success{step="readiness"} 0\n')
      assert.include(second, 'synthetic_query_duration_seconds{step="readiness"} 0.007\n')
      assert.notInclude(second, 'synthetic_query_success{step="list_namespaces"}')
      assert.include(second, 'synthetic_query_last_success_timestamp_seconds{step="list_namespaces"} 0\n')
      assert.include(second, 'synthetic_query_runs_total{result="failure"} 1\n')
    }).pipe(Effect.provide(Layer.sync(Metric.MetricRegistry, () => new Map())))
  )
})
