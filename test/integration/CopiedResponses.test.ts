import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpServerResponse } from "effect/http"
import { PassThrough } from "node:stream"
import { Authorization } from "../../src/authorization/Authorization.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import type { AuditRecord } from "../../src/observability/Audit.ts"
import type { Middleware } from "../../src/server/Server.ts"
import { send } from "../support/Https.ts"
import { metrics, observed, sum } from "../support/Observed.ts"
import { TestService } from "../support/TestService.ts"

/** Replaces every response by a copy of its status, header fields and body. */
const copying: Middleware = (application) =>
  Effect.map(application, (response) =>
    HttpServerResponse.setHeader(
      HttpServerResponse.fromWeb(HttpServerResponse.toWeb(response)),
      "x-copied",
      String(response.status)
    )
  )

const nginx = "/namespaces/personal/deployments/nginx/replica_count"
const absent = "/namespaces/personal/deployments/absent/replica_count"

/** The responses to an accepted, a refused and a failed write and to a read of an unknown deployment. */
const asked = Effect.gen(function* () {
  const { port } = yield* TestService
  const { faults } = yield* EmbeddedKube
  const answered = (client: "admin" | "nobody", method: string, path: string) =>
    Effect.map(send(port, { client, method, path }), ({ body, headers, status }) => {
      assert.strictEqual(headers["x-copied"], String(status))
      return [status, JSON.parse(body).code]
    })
  const accepted = yield* answered("admin", "PUT", `${nginx}/7`)
  const refused = yield* answered("nobody", "PUT", `${nginx}/8`)
  const missing = yield* answered("admin", "GET", absent)
  yield* faults.unavailable(true)
  const failed = yield* answered("admin", "PUT", `${nginx}/9`)
  return { answers: [accepted, refused, missing, failed], page: yield* metrics(port) }
})

interface LoggedRequest {
  readonly annotations: { readonly status: number; readonly code?: string }
}

describe("a service whose middleware copies every response", () => {
  it.live("audits, logs and counts the errors themselves", () =>
    Effect.gen(function* () {
      const records: Array<AuditRecord> = []
      const log = new PassThrough({ encoding: "utf8" })
      const service = TestService.layer({
        middleware: copying,
        auditRecords: records,
        authorizer: Authorization.layerScripted(({ user }) => user !== "nobody")
      })
      const { answers, page } = yield* Effect.provide(asked, Layer.provideMerge(service, observed(log)))
      const truth = [
        [200, undefined],
        [401, "Unauthorized"],
        [410, "NotFound"],
        [503, "ClusterUnavailable"]
      ]
      assert.deepStrictEqual(answers, truth)
      assert.deepStrictEqual(
        records.map(({ code, outcome }) => [outcome, code]),
        [
          ["accepted", undefined],
          ["refused", "Unauthorized"],
          ["failed", "ClusterUnavailable"]
        ]
      )
      const requests: ReadonlyArray<LoggedRequest> = String(log.read())
        .split("\n")
        .filter((line) => line.startsWith('{"message":"request"'))
        .map((line) => JSON.parse(line))
      assert.deepStrictEqual(
        requests.slice(0, truth.length).map(({ annotations: { code, status } }) => [status, code]),
        truth
      )
      for (const [status] of truth) {
        // Reading the metrics takes several requests.
        assert.strictEqual(sum(page, "http_requests_total", `code="${status}"`, 'route="/namespaces/'), 1)
      }
    })
  )
})
