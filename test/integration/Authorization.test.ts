import { assert } from "@effect/vitest"
import { Duration, Effect, Metric } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoAccess } from "../../src/embedded/Access.ts"
import * as ClusterAuthorization from "../../src/authorization/ClusterAuthorization.ts"
import * as PolicyAuthorization from "../../src/authorization/PolicyAuthorization.ts"
import { agent, send } from "../support/Https.ts"
import type { Client } from "../support/Pki.ts"
import { TestService, withService } from "../support/TestService.ts"

const nginx = "/namespaces/personal/deployments/nginx/replica_count"

const ask = (client: Client, path: string, method = "GET") =>
  Effect.flatMap(TestService, ({ port }) => send(port, { client, path, method }))

const expectStatus = Effect.fnUntraced(function* (client: Client, path: string, status: number, method = "GET") {
  const answer = yield* ask(client, path, method)
  assert.strictEqual(answer.status, status, `${client}: ${method} ${path}: ${answer.body}`)
  return answer
})

const expectRefusal = Effect.fnUntraced(function* (client: Client, path: string, detail: string, method = "GET") {
  const { body } = yield* expectStatus(client, path, 401, method)
  const problem: Record<string, unknown> = JSON.parse(body)
  assert.strictEqual(problem["code"], "Unauthorized")
  assert.strictEqual(problem["detail"], detail)
})

const reads = [
  "/namespaces",
  "/namespaces/personal/deployments",
  "/namespaces/ANY/deployments",
  nginx,
  "/namespaces/personal/deployments/ANY/replica_count",
  "/namespaces/ANY/deployments/ANY/replica_count",
  "/namespaces/ANY/deployments/nginx/replica_count"
]

const eventually = (
  condition: Effect.Effect<boolean, unknown, TestService>
): Effect.Effect<void, unknown, TestService> =>
  Effect.flatMap(condition, (holds) => (holds ? Effect.void : Effect.andThen(Effect.sleep(20), eventually(condition))))

const policyFile = join(mkdtempSync(join(tmpdir(), "kube-resource-api-")), "policy.yaml")
const limited = `rules:
  - description: The platform's people scale what is personal, but not to nothing.
    subjects: { groups: [platform] }
    verbs: [get, set]
    namespaces: [personal]
    deployments: ["n*", kafka]
    minReplicas: 1
    maxReplicas: 20
  - subjects: { users: [viewer] }
    verbs: [list]
    namespaces: ["*"]
    deployments: ["*"]
`
writeFileSync(policyFile, limited)

withService({ authorizer: PolicyAuthorization.layer(policyFile, { settle: "20 millis", pollEvery: "200 millis" }) })(
  "a policy file decides, over mutual TLS",
  (it) => {
    it.effect("what a rule allows is answered", () =>
      Effect.gen(function* () {
        yield* expectStatus("admin", nginx, 200)
        yield* expectStatus("admin", nginx, 200, "HEAD")
        yield* expectStatus("admin", `${nginx}/20`, 200, "PUT")
        yield* expectStatus("viewer", "/namespaces", 200)
        yield* expectStatus("viewer", "/namespaces/ANY/deployments", 200)
      })
    )

    it.effect("what none allows is 401, which says verb and object and no rule", () =>
      Effect.gen(function* () {
        yield* expectRefusal("admin", "/namespaces", "admin may not list namespaces.")
        yield* expectRefusal(
          "admin",
          "/namespaces/ANY/deployments/nginx/replica_count",
          "admin may not get the replica count of nginx in all namespaces."
        )
        yield* expectRefusal(
          "admin",
          "/namespaces/personal/deployments/ANY/replica_count",
          "admin may not get replica counts in namespace personal."
        )
        yield* expectRefusal(
          "admin",
          `${nginx}/21`,
          "admin may not set the replica count of nginx to 21 in namespace personal.",
          "PUT"
        )
        yield* expectRefusal(
          "admin",
          `${nginx}/0`,
          "admin may not set the replica count of nginx to 0 in namespace personal.",
          "PUT"
        )
        yield* expectRefusal("viewer", nginx, "viewer may not get the replica count of nginx in namespace personal.")
        for (const path of reads) yield* expectStatus("nobody", path, 401)
      })
    )

    it.effect("a refused write does not reach the cluster", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        yield* kube.clearRequests
        yield* expectStatus("nobody", `${nginx}/3`, 401, "PUT")
        yield* expectStatus("admin", `${nginx}/0`, 401, "PUT")
        assert.deepStrictEqual(yield* kube.requests, [])
      })
    )

    it.effect("400 comes before 401, and 401 before 410: who may not ask is not told what there is", () =>
      Effect.gen(function* () {
        yield* expectStatus("nobody", "/namespaces/Personal/deployments", 400)
        yield* expectStatus("nobody", "/namespaces/absent/deployments", 401)
        yield* expectStatus("viewer", "/namespaces/absent/deployments", 410)
      })
    )

    it.effect("who is not identified gets 403, whatever the policy says", () =>
      Effect.gen(function* () {
        for (const client of ["none", "stranger", "expired", "wrong-usage", "nameless"] as const) {
          yield* expectStatus(client, nginx, 403)
        }
      })
    )

    it.effect("a new file holds for connections that are open; a bad one changes nothing", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const pool = yield* agent("nobody", 1)
        const status = Effect.map(send(port, { client: "nobody", path: nginx, agent: pool }), ({ status }) => status)
        assert.strictEqual(yield* status, 401)
        writeFileSync(policyFile, limited.replace("groups: [platform]", "users: [nobody]"))
        yield* eventually(Effect.map(status, (now) => now === 200))
        yield* expectStatus("admin", nginx, 401)
        const refusals = Metric.value(Metric.withAttributes(PolicyAuthorization.policyReloads, { outcome: "refused" }))
        const before = yield* refusals
        writeFileSync(policyFile, "rules: [")
        yield* eventually(Effect.map(refusals, ({ count }) => count > before.count))
        assert.strictEqual(yield* status, 200)
        writeFileSync(policyFile, "rules: []")
        yield* eventually(Effect.map(status, (now) => now === 401))
      })
    )
  }
)

const kept = (allow: Duration.Input, deny: Duration.Input) =>
  ClusterAuthorization.layer({
    authorizationCacheAllow: Duration.fromInputUnsafe(allow),
    authorizationCacheDeny: Duration.fromInputUnsafe(deny),
    authorizationCacheSize: 1000
  })

withService({ kube: { decideAccess: demoAccess }, authorizer: kept("5 minutes", "30 seconds") })(
  "the cluster's RBAC decides, over mutual TLS",
  (it) => {
    it.effect("what it allows is answered, what it does not is 401, which says verb and object", () =>
      Effect.gen(function* () {
        for (const client of ["admin", "viewer"] as const) {
          for (const path of reads) yield* expectStatus(client, path, 200)
        }
        for (const path of reads) yield* expectStatus("nobody", path, 401)
        yield* expectStatus("admin", `${nginx}/7`, 200, "PUT")
        yield* expectRefusal(
          "viewer",
          `${nginx}/8`,
          "viewer may not set the replica count of nginx to 8 in namespace personal.",
          "PUT"
        )
        yield* expectRefusal("nobody", "/namespaces", "nobody may not list namespaces.")
        for (const client of ["none", "stranger", "expired"] as const) yield* expectStatus(client, nginx, 403)
      })
    )

    it.effect("it is asked with the certificate's user and groups", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        yield* expectStatus("viewer", "/namespaces/kube-system/deployments/fred/replica_count", 200)
        const questions = yield* kube.accessQuestions
        assert.deepStrictEqual(questions.at(-1), {
          user: "viewer",
          groups: ["readers", "system:authenticated"],
          resourceAttributes: {
            verb: "get",
            group: "apps",
            resource: "deployments",
            subresource: "scale",
            namespace: "kube-system",
            name: "fred"
          }
        })
      })
    )

    it.effect("1,000 reads of one thing, many at once and on many connections, are one question", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        const { port } = yield* TestService
        const path = "/namespaces/kube-system/deployments/jane/replica_count"
        const pool = yield* agent("viewer", 16)
        yield* kube.clearRequests
        const statuses = yield* Effect.forEach(
          Array.from({ length: 1000 }),
          () => Effect.map(send(port, { client: "viewer", path, agent: pool }), ({ status }) => status),
          { concurrency: 32 }
        )
        assert.isTrue(statuses.every((status) => status === 200))
        const requests = yield* kube.requests
        assert.deepStrictEqual(
          requests.map(({ method, path }) => `${method} ${path}`),
          ["POST /apis/authorization.k8s.io/v1/subjectaccessreviews"]
        )
      })
    )

    it.effect("while it is away what it said holds, and what it did not say is 503 with Retry-After", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        const known = "/namespaces/kube-system/deployments"
        yield* expectStatus("viewer", known, 200)
        yield* expectStatus("nobody", known, 401)
        yield* kube.faults.unavailable(true)
        yield* expectStatus("viewer", known, 200)
        yield* expectStatus("nobody", known, 401)
        const answer = yield* expectStatus("viewer", "/namespaces/default/deployments", 503)
        assert.strictEqual(answer.headers["retry-after"], "1")
        const problem: Record<string, unknown> = JSON.parse(answer.body)
        assert.strictEqual(problem["code"], "ClusterUnavailable")
        assert.notMatch(answer.body, /127\.0\.0\.1|ECONN/)
        yield* expectStatus("nobody", "/namespaces/default/deployments", 503)
        yield* kube.faults.unavailable(false)
        yield* eventually(Effect.map(ask("viewer", "/namespaces/default/deployments"), ({ status }) => status === 200))
        yield* expectStatus("nobody", "/namespaces/default/deployments", 401)
      })
    )

    it.effect("an account that may not ask is 503, never an answer", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        yield* kube.faults.denyVerb("subjectaccessreviews", "create")
        yield* expectStatus("admin", "/namespaces/absent/deployments", 503)
        yield* kube.faults.allowAll
        yield* expectStatus("admin", "/namespaces/absent/deployments", 410)
      })
    )
  }
)

withService({ kube: { decideAccess: demoAccess }, authorizer: kept("200 millis", "200 millis") })(
  "the cluster's RBAC changes",
  (it) => {
    it.effect("a right that is taken away ends with the time it was kept, one that is given begins with it", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        yield* expectStatus("viewer", nginx, 200)
        yield* expectStatus("nobody", nginx, 401)
        yield* kube.setAccess(({ user }) => ({ allowed: user === "nobody" }))
        yield* eventually(Effect.map(ask("viewer", nginx), ({ status }) => status === 401))
        yield* eventually(Effect.map(ask("nobody", nginx), ({ status }) => status === 200))
      })
    )
  }
)
