import { assert } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { DeploymentScaler } from "../../src/model/DeploymentScaler.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { eventually } from "../support/Eventually.ts"
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
  it.effect("a defect gets a problem response without its details, and the service keeps serving", () =>
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
    it.effect("a request that exceeds REQUEST_TIMEOUT gets 408", () =>
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
  it.effect("a revoked certificate gets 403, and a valid one 200", () =>
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
  it.effect("/readyz returns 503 while the cluster has been silent for longer, and 200 again after", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { faults } = yield* EmbeddedKube
      const ready = Effect.map(send(port, { client: "none", path: "/readyz" }), ({ status }) => status)
      assert.strictEqual(yield* ready, 200)
      yield* faults.unavailable(true)
      yield* faults.dropWatches()
      yield* eventually(ready, (status) => status === 503)
      assert.strictEqual((yield* send(port, { client: "viewer", path: "/namespaces" })).status, 200)
      yield* faults.unavailable(false)
      yield* eventually(ready, (status) => status === 200)
    })
  )
})

withService()("reads", (it) => {
  it.effect("an older watch event does not revert a write", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const kube = yield* EmbeddedKube
      const read = Effect.map(
        send(port, { client: "viewer", path: "/namespaces/personal/deployments/kafka/replica_count" }),
        ({ body }) => body
      )
      // The watch delivers the event of the write first, and that of the older change last.
      yield* kube.awaitWatches(2)
      assert.strictEqual(yield* kube.faults.reorderNextEvents("deployments"), 1)
      yield* kube.cluster.putDeployment("personal", "kafka", 4)
      yield* send(port, {
        client: "admin",
        method: "PUT",
        path: "/namespaces/personal/deployments/kafka/replica_count/9"
      })
      assert.strictEqual(yield* read, '{"namespace":"personal","deployment":"kafka","replica_count":9}')
      // Once a later event is visible, both of these have been applied.
      yield* kube.cluster.putDeployment("personal", "nginx", 77)
      const later = send(port, { client: "viewer", path: "/namespaces/personal/deployments/nginx/replica_count" })
      yield* eventually(later, ({ body }) => body.endsWith(":77}"))
      assert.strictEqual(yield* read, '{"namespace":"personal","deployment":"kafka","replica_count":9}')
    })
  )

  it.effect("accept what real servers omit: items, spec.replicas and the kind of objects", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const kube = yield* EmbeddedKube
      yield* kube.faults.setQuirks({ bareListItems: true, bareWatchObjects: true, emptyItems: "null" })
      yield* kube.cluster.putDeployment("personal", "bare", undefined)
      yield* kube.compact
      yield* kube.faults.dropWatches()
      yield* kube.awaitWatches(2)
      const read = (deployment: string) =>
        send(port, { client: "viewer", path: `/namespaces/personal/deployments/${deployment}/replica_count` })
      // Once a later event is visible, so is the relist before it.
      yield* kube.cluster.putDeployment("personal", "later", 5)
      yield* eventually(read("later"), ({ body }) => body.endsWith(":5}"))
      assert.strictEqual((yield* read("bare")).body, '{"namespace":"personal","deployment":"bare","replica_count":1}')
    })
  )
})
