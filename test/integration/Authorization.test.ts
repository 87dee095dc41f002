import { assert } from "@effect/vitest"
import { Duration, Effect, Metric, Fiber, Ref } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoAccess } from "../../src/embedded/Access.ts"
import * as ClusterAuthorization from "../../src/authorization/ClusterAuthorization.ts"
import * as PolicyAuthorization from "../../src/authorization/PolicyAuthorization.ts"
import { eventually } from "../support/Eventually.ts"
import { agent, readPaths, send } from "../support/Https.ts"
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

/** Waits until this request gets the status. */
const untilStatus = (client: Client, path: string, expected: number) =>
  eventually(ask(client, path), ({ status }) => status === expected)

const policyFile = join(mkdtempSync(join(tmpdir(), "kube-resource-api-")), "policy.yaml")
const limited = `rules:
  - description: The platform group scales some deployments, but not to zero.
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
  "authorization by a policy file",
  (it) => {
    it.effect("a request that a rule allows gets 200", () =>
      Effect.gen(function* () {
        yield* expectStatus("admin", nginx, 200)
        yield* expectStatus("admin", nginx, 200, "HEAD")
        yield* expectStatus("admin", `${nginx}/20`, 200, "PUT")
        yield* expectStatus("viewer", "/namespaces", 200)
        yield* expectStatus("viewer", "/namespaces/ANY/deployments", 200)
      })
    )

    it.effect("a request that no rule allows gets 401, which names verb and object but no rule", () =>
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
        for (const path of readPaths) yield* expectStatus("nobody", path, 401)
      })
    )

    it.effect("a denied write does not reach the cluster", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        yield* kube.clearRequests
        yield* expectStatus("nobody", `${nginx}/3`, 401, "PUT")
        yield* expectStatus("admin", `${nginx}/0`, 401, "PUT")
        assert.deepStrictEqual(yield* kube.requests, [])
      })
    )

    it.effect("400 precedes 401, and 401 precedes 410: a denied caller does not learn what exists", () =>
      Effect.gen(function* () {
        yield* expectStatus("nobody", "/namespaces/Personal/deployments", 400)
        yield* expectStatus("nobody", "/namespaces/absent/deployments", 401)
        yield* expectStatus("viewer", "/namespaces/absent/deployments", 410)
      })
    )

    it.effect("an unidentified caller gets 403, whatever the policy allows", () =>
      Effect.gen(function* () {
        for (const client of ["none", "stranger", "expired", "wrong-usage", "nameless"] as const) {
          yield* expectStatus(client, nginx, 403)
        }
      })
    )

    it.effect("a new policy file applies to open connections; an invalid file changes nothing", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const pool = yield* agent("nobody", 1)
        const status = Effect.map(send(port, { client: "nobody", path: nginx, agent: pool }), ({ status }) => status)
        assert.strictEqual(yield* status, 401)
        writeFileSync(policyFile, limited.replace("groups: [platform]", "users: [nobody]"))
        yield* eventually(status, (now) => now === 200)
        yield* expectStatus("admin", nginx, 401)
        const refusals = Metric.value(Metric.withAttributes(PolicyAuthorization.policyReloads, { outcome: "refused" }))
        const before = yield* refusals
        writeFileSync(policyFile, "rules: [")
        yield* eventually(refusals, ({ count }) => count > before.count)
        assert.strictEqual(yield* status, 200)
        writeFileSync(policyFile, "rules: []")
        yield* eventually(status, (now) => now === 401)
      })
    )
  }
)

const kept = (allow: Duration.Input, deny: Duration.Input) =>
  ClusterAuthorization.layer({
    authorizationCacheAllow: Duration.fromInputUnsafe(allow),
    authorizationCacheDeny: Duration.fromInputUnsafe(deny),
    authorizationCacheSize: 1000,
    authorizationDeniedGroups: ["kubeadm:*", "admins"]
  })

withService({ kube: { decideAccess: demoAccess }, authorizer: kept("5 minutes", "30 seconds") })(
  "authorization by the cluster's RBAC",
  (it) => {
    it.effect("an allowed request gets 200; a denied request gets 401, which names verb and object", () =>
      Effect.gen(function* () {
        for (const client of ["admin", "viewer"] as const) {
          for (const path of readPaths) yield* expectStatus(client, path, 200)
        }
        for (const path of readPaths) yield* expectStatus("nobody", path, 401)
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

    it.effect("access reviews carry the user and groups of the certificate", () =>
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

    it.effect("1,000 reads of one object, concurrent and on many connections, cause one access review", () =>
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

    it.effect("a user who invents names cannot keep others from being decided", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        const { port } = yield* TestService
        const flooding = yield* agent("nobody", 128)
        const honest = yield* agent("admin", 1)
        const read = (client: "nobody" | "admin", name: string) =>
          Effect.map(
            send(port, {
              client,
              path: `/namespaces/personal/deployments/${name}/replica_count`,
              agent: client === "admin" ? honest : flooding
            }),
            ({ status }) => status
          )
        yield* kube.faults.slow("20 millis")
        const answered = yield* Ref.make(0)
        const flood = yield* Effect.forkChild(
          Effect.forEach(
            Array.from({ length: 100_000 }, (_, at) => at),
            (at) =>
              Effect.andThen(
                read("nobody", `invented-${at}`),
                Ref.update(answered, (count) => count + 1)
              ),
            { concurrency: 128 }
          )
        )
        yield* eventually(Ref.get(answered), (count) => count > 200)
        for (let at = 0; at < 20; at++) assert.strictEqual(yield* read("admin", `unknown-${at}`), 410)
        yield* Fiber.interrupt(flood)
        yield* kube.faults.slow(0)
      })
    )

    it.effect("during an outage, cached decisions hold, and other requests get 503 with Retry-After", () =>
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
        yield* untilStatus("viewer", "/namespaces/default/deployments", 200)
        yield* expectStatus("nobody", "/namespaces/default/deployments", 401)
      })
    )

    it.effect("a service account without access review permission causes 503, never a decision", () =>
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
  "a change of the cluster's RBAC",
  (it) => {
    it.effect("granted and withdrawn permissions apply once the cached decision expires", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        yield* expectStatus("viewer", nginx, 200)
        yield* expectStatus("nobody", nginx, 401)
        yield* kube.setAccess(({ user }) => ({ allowed: user === "nobody" }))
        yield* untilStatus("viewer", nginx, 401)
        yield* untilStatus("nobody", nginx, 200)
      })
    )
  }
)
