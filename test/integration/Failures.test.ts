import { assert } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { DeploymentScaler } from "../../src/model/DeploymentScaler.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { send } from "../support/Https.ts"
import { type Client, file } from "../support/Pki.ts"
import { TestService, withService } from "../support/TestService.ts"

const put = "/namespaces/personal/deployments/nginx/replica_count/5"

const problem = (client: Client, path: string, method = "GET") =>
  Effect.gen(function* () {
    const { port } = yield* TestService
    const answer = yield* send(port, { client, path, method })
    const body: Record<string, unknown> = JSON.parse(answer.body)
    return { status: answer.status, code: body["code"], type: answer.headers["content-type"], text: answer.body }
  })

withService({
  scaler: Layer.succeed(DeploymentScaler, { scale: () => Effect.die(new Error("a secret inner thing broke")) })
})("500 Internal", (it) => {
  it.effect("a defect is answered with a problem that says nothing of it, and the service goes on", () =>
    Effect.gen(function* () {
      const answer = yield* problem("admin", put, "PUT")
      assert.strictEqual(answer.status, 500)
      assert.strictEqual(answer.code, "Internal")
      assert.strictEqual(answer.type, "application/problem+json")
      assert.notInclude(answer.text, "secret inner thing")
      const { port } = yield* TestService
      assert.strictEqual((yield* send(port, { client: "admin", path: "/namespaces" })).status, 200)
    })
  )
})

withService({ requestTimeout: Duration.millis(500), headersTimeout: Duration.millis(400) })(
  "408 RequestTimeout",
  (it) => {
    it.effect("a request that takes longer than its limit to be served", () =>
      Effect.gen(function* () {
        const { faults } = yield* EmbeddedKube
        yield* faults.hang(true)
        const answer = yield* problem("admin", put, "PUT")
        assert.strictEqual(answer.status, 408)
        assert.strictEqual(answer.code, "RequestTimeout")
        yield* faults.hang(false)
      })
    )
  }
)

withService({ tlsCrlFile: file("ca.crl") })("with a revocation list", (it) => {
  it.effect("a revoked certificate is not identified: 403, and a good one still is", () =>
    Effect.gen(function* () {
      const answer = yield* problem("revoked", "/namespaces")
      assert.strictEqual(answer.status, 403)
      assert.strictEqual(answer.code, "Unidentified")
      const { port } = yield* TestService
      assert.strictEqual((yield* send(port, { client: "revoked", path: "/livez" })).status, 200)
      assert.strictEqual((yield* send(port, { client: "viewer", path: "/namespaces" })).status, 200)
    })
  )
})

withService({ tlsClientAuth: "require" })("TLS_CLIENT_AUTH=require", (it) => {
  it.effect("refuses a client without a valid certificate at the handshake", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      assert.strictEqual((yield* send(port, { client: "viewer", path: "/namespaces" })).status, 200)
      for (const client of ["none", "stranger", "expired", "wrong-usage"] as const) {
        const outcome = yield* send(port, { client, path: "/livez" }).pipe(
          Effect.as("answered"),
          Effect.catch((error) => Effect.succeed(error.message))
        )
        assert.match(outcome, /alert|ECONNRESET|socket hang up/i, client)
      }
    })
  )
})

withService({ readyMaxStaleness: Duration.seconds(1) })("READY_MAX_STALENESS", (it) => {
  it.effect("/readyz turns 503 once the cluster has not been heard from for longer, and 200 again after", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { faults } = yield* EmbeddedKube
      const ready = Effect.map(send(port, { client: "none", path: "/readyz" }), ({ status }) => status)
      assert.strictEqual(yield* ready, 200)
      yield* faults.unavailable(true)
      yield* faults.dropWatches()
      const until = (expected: number): Effect.Effect<void, Error> =>
        Effect.flatMap(ready, (status) =>
          status === expected ? Effect.void : Effect.andThen(Effect.sleep(50), until(expected))
        )
      yield* until(503)
      assert.strictEqual((yield* send(port, { client: "viewer", path: "/namespaces" })).status, 200)
      yield* faults.unavailable(false)
      yield* until(200)
    })
  )
})

withService()("never go back", (it) => {
  it.effect("an older watch event does not take a write back", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const kube = yield* EmbeddedKube
      const read = Effect.map(
        send(port, { client: "viewer", path: "/namespaces/personal/deployments/kafka/replica_count" }),
        ({ body }) => body
      )
      // The write's own event comes before that of the older change: the older one is the last word the watch has.
      yield* kube.awaitWatches(2)
      assert.strictEqual(yield* kube.faults.reorderNextEvents("deployments"), 1)
      yield* kube.cluster.putDeployment("personal", "kafka", 4)
      yield* send(port, {
        client: "admin",
        method: "PUT",
        path: "/namespaces/personal/deployments/kafka/replica_count/9"
      })
      assert.strictEqual(yield* read, '{"namespace":"personal","deployment":"kafka","replica_count":9}')
      // Once a later event is seen, so were both of these.
      yield* kube.cluster.putDeployment("personal", "nginx", 77)
      const later = send(port, { client: "viewer", path: "/namespaces/personal/deployments/nginx/replica_count" })
      const arrived: Effect.Effect<void, Error> = Effect.flatMap(later, ({ body }) =>
        body.endsWith(":77}") ? Effect.void : Effect.andThen(Effect.sleep(10), arrived)
      )
      yield* arrived
      assert.strictEqual(yield* read, '{"namespace":"personal","deployment":"kafka","replica_count":9}')
    })
  )

  it.effect("what real servers leave out is understood: no items, no spec.replicas, objects without kind", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const kube = yield* EmbeddedKube
      yield* kube.faults.setQuirks({ bareListItems: true, bareWatchObjects: true, emptyItems: "null" })
      yield* kube.cluster.putDeployment("personal", "bare", undefined)
      yield* kube.compact
      yield* kube.faults.dropWatches()
      yield* kube.awaitWatches(2)
      yield* Effect.sleep(200)
      const answer = yield* send(port, {
        client: "viewer",
        path: "/namespaces/personal/deployments/bare/replica_count"
      })
      assert.strictEqual(answer.body, '{"namespace":"personal","deployment":"bare","replica_count":1}')
    })
  )
})
