import { assert } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { HttpClient } from "effect/http"
import { readFileSync } from "node:fs"
import * as Client from "../../src/client/Client.ts"
import { DeploymentName, NamespaceName, ReplicaCount } from "../../src/contract/Names.ts"
import { file } from "../support/Pki.ts"
import { TestService, withService } from "../support/TestService.ts"

const pem = (name: string) => readFileSync(file(name), "utf8")

const as = (client: string): Layer.Layer<HttpClient.HttpClient> =>
  Client.layerMutualTls({ ca: pem("ca.crt"), cert: pem(`${client}.crt`), key: pem(`${client}.key`) })

const connect = Effect.flatMap(TestService, ({ port }) => Client.make(`https://localhost:${port}`))

const namespace = NamespaceName.make("personal")
const deployment = DeploymentName.make("nginx")

withService()("the typed client", (it) => {
  it.effect("lists namespaces and deployments, and reads, sets and reads back a replica count", () =>
    Effect.gen(function* () {
      const client = yield* connect
      const { namespaces } = yield* client.listNamespaces()
      assert.deepStrictEqual(
        namespaces,
        ["default", "kube-system", "personal"].map((name) => NamespaceName.make(name))
      )
      const deployments = yield* client.listDeployments({ params: { namespace } })
      assert.deepStrictEqual(deployments, {
        namespace,
        deployments: ["kafka", "nginx", "resource-access"].map((name) => DeploymentName.make(name))
      })
      yield* client.setReplicaCount({ params: { namespace, deployment, replica_count: ReplicaCount.make(38) } })
      const count = yield* client.getReplicaCount({ params: { namespace, deployment } })
      assert.deepStrictEqual(count, { namespace, deployment, replica_count: ReplicaCount.make(38) })
      yield* client.livez()
      yield* client.readyz()
    }).pipe(Effect.provide(as("admin")))
  )

  it.effect("fails with the tagged problem of the response", () =>
    Effect.gen(function* () {
      const client = yield* connect
      const problem = yield* client
        .getReplicaCount({ params: { namespace, deployment: DeploymentName.make("absent") } })
        .pipe(Effect.flip)
      assert.strictEqual(problem._tag, "NotFound")
      if (problem._tag === "NotFound") {
        assert.strictEqual(problem.status, 410)
        assert.match(problem.detail ?? "", /absent/)
      }
    }).pipe(Effect.provide(as("viewer")))
  )

  it.effect("fails with Unidentified for an unidentified caller", () =>
    Effect.gen(function* () {
      const client = yield* connect
      assert.strictEqual((yield* client.listNamespaces().pipe(Effect.flip))._tag, "Unidentified")
    }).pipe(Effect.provide(as("stranger")))
  )
})
