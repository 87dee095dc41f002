import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { eventually } from "../support/Eventually.ts"
import { agent, readPaths, send } from "../support/Https.ts"
import { TestService, withService } from "../support/TestService.ts"

const paths = [...readPaths, "/namespaces/absent/deployments", "/livez", "/readyz"]

withService()("reads without the cluster", (it) => {
  it.effect("10,000 reads make no request to the cluster", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const { port } = yield* TestService
      const pool = yield* agent("viewer", 16)
      yield* kube.clearRequests
      const statuses = yield* Effect.forEach(
        Array.from({ length: 10_000 }, (_, index) => paths[index % paths.length] ?? "/"),
        (path) => Effect.map(send(port, { client: "viewer", path, agent: pool }), ({ status }) => status),
        { concurrency: 16 }
      )
      assert.strictEqual(statuses.filter((status) => status === 200).length, 9000)
      assert.strictEqual(statuses.filter((status) => status === 410).length, 1000)
      assert.deepStrictEqual(yield* kube.requests, [])
    })
  )

  it.effect("in an outage of the cluster, reads succeed, /readyz stays 200 and Age grows", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const { port } = yield* TestService
      yield* kube.faults.unavailable(true)
      yield* kube.faults.dropWatches()
      yield* eventually(send(port, { client: "viewer", path: "/namespaces" }), ({ headers, status }) => {
        assert.strictEqual(status, 200)
        assert.isAtLeast(Number(headers["age"]), 1)
      })
      assert.strictEqual((yield* send(port, { client: "none", path: "/readyz" })).status, 200)
      assert.strictEqual(
        (yield* send(port, {
          client: "admin",
          method: "PUT",
          path: "/namespaces/personal/deployments/nginx/replica_count/1"
        })).status,
        503
      )
      yield* kube.faults.unavailable(false)
    })
  )
})
