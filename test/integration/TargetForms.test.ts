import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { Authorization } from "../../src/authorization/Authorization.ts"
import type { AuditRecord } from "../../src/observability/Audit.ts"
import { exchange } from "../support/Sockets.ts"
import { TestService, withService } from "../support/TestService.ts"

/** Verb, namespace and deployment of the accesses that were asked for. */
const asked: Array<ReadonlyArray<string>> = []
const auditRecords: Array<AuditRecord> = []

const request = (method: string, target: string) =>
  Effect.flatMap(TestService, ({ port }) =>
    exchange(port, [`${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`])
  )

withService({
  auditRecords,
  authorizer: Authorization.layerScripted((_, access) => {
    if (access.resource !== "replica_count") return true
    asked.push([access.verb, access.namespace, access.deployment])
    return access.verb === "get"
  })
})("a target in another form", (it) => {
  const count = "/namespaces/personal/deployments/nginx/replica_count"

  for (const [form, target] of [
    ["with escapes", "/namespaces/pers%6fnal/deployments/ngin%78/replica_count"],
    ["in absolute form", `https://other.example.com${count}`],
    [
      "in absolute form with escapes and a query",
      "https://x/namespaces/pers%6Fnal/deployments/nginx/replica_count?dryRun=All"
    ]
  ] as const) {
    it.effect(`${form} is authorized, answered and recorded as the plain one`, () =>
      Effect.gen(function* () {
        asked.length = 0
        const answer = yield* request("GET", target)
        assert.match(answer, /^HTTP\/1\.1 200 /)
        assert.include(answer, '"replica_count":12')
        assert.deepStrictEqual(asked.at(-1), ["get", "personal", "nginx"])
        const [path = "", query] = target.split("?")
        const written = `${path}/5`
        assert.match(yield* request("PUT", query === undefined ? written : `${written}?${query}`), /^HTTP\/1\.1 401 /)
        assert.deepStrictEqual(asked.at(-1), ["set", "personal", "nginx"])
        const dryRun = query !== undefined
        assert.deepInclude(auditRecords.at(-1), { namespace: "personal", deployment: "nginx", to: "5", dryRun })
      })
    )
  }

  it.effect("an escaped ANY selects all in a read and is refused as a name in a write", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        (yield* request("GET", "/namespaces/%41NY/deployments")).split("\r\n\r\n")[1],
        (yield* request("GET", "/namespaces/ANY/deployments")).split("\r\n\r\n")[1]
      )
      assert.match(yield* request("PUT", "/namespaces/%41NY/deployments/nginx/replica_count/5"), /^HTTP\/1\.1 400 /)
    })
  )
})

withService({
  rateLimit: {
    rateLimitReads: 1,
    rateLimitWrites: 1,
    rateLimitUnidentified: 1,
    rateLimitBurst: 2,
    rateLimitClients: 10
  }
})("targets in other forms", (it) => {
  it.effect("take tokens of the same bucket", () =>
    Effect.gen(function* () {
      const statuses = yield* Effect.forEach(
        ["/namespaces", "/n%61mespaces", "https://x/namespaces", "/namespaces"],
        (target) => request("GET", target)
      )
      assert.isTrue(statuses.some((answer) => answer.startsWith("HTTP/1.1 429 ")))
    })
  )
})
