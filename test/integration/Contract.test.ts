import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { send } from "../support/Https.ts"
import type { Client } from "../support/Pki.ts"
import { TestService, withService } from "../support/TestService.ts"

const ask = (
  path: string,
  options: { readonly client?: Client; readonly method?: string; readonly headers?: Record<string, string> } = {}
) => Effect.flatMap(TestService, ({ port }) => send(port, { client: "admin", path, ...options }))

const expectBody = (path: string, body: string) =>
  Effect.gen(function* () {
    const answer = yield* ask(path)
    assert.strictEqual(answer.status, 200)
    assert.strictEqual(answer.body, body)
    assert.strictEqual(answer.headers["content-type"], "application/json")
    assert.strictEqual(answer.headers["content-length"], String(Buffer.byteLength(body)))
    assert.strictEqual(answer.headers["age"], "0")
    assert.isUndefined(answer.headers["transfer-encoding"])
    const head = yield* ask(path, { method: "HEAD" })
    assert.strictEqual(head.status, 200)
    assert.strictEqual(head.body, "")
    assert.strictEqual(head.headers["content-length"], String(Buffer.byteLength(body)))
    assert.strictEqual(head.headers["age"], "0")
  })

const expectProblem = (
  path: string,
  status: number,
  code: string,
  options: { readonly client?: Client; readonly method?: string; readonly headers?: Record<string, string> } = {}
) =>
  Effect.gen(function* () {
    const answer = yield* ask(path, options)
    assert.strictEqual(answer.status, status, `${options.method ?? "GET"} ${path}: ${answer.body}`)
    assert.strictEqual(answer.headers["content-type"], "application/problem+json")
    if (options.method === "HEAD") return answer
    const problem: Record<string, unknown> = JSON.parse(answer.body)
    assert.strictEqual(problem["code"], code)
    assert.strictEqual(problem["status"], status)
    assert.strictEqual(problem["instance"], answer.headers["x-request-id"])
    assert.isString(problem["type"])
    assert.isString(problem["title"])
    assert.isString(problem["detail"])
    assert.notMatch(answer.body, /node_modules|\.ts\b|127\.0\.0\.1|at Object/)
    return answer
  })

withService()("the HTTP contract", (it) => {
  describe("reads", () => {
    it.effect("GET /namespaces", () => expectBody("/namespaces", '{"namespaces":["default","kube-system","personal"]}'))
    it.effect("GET /namespaces/:namespace/deployments", () =>
      expectBody(
        "/namespaces/personal/deployments",
        '{"namespace":"personal","deployments":["kafka","nginx","resource-access"]}'
      )
    )
    it.effect("a namespace without deployments returns an empty list", () =>
      expectBody("/namespaces/default/deployments", '{"namespace":"default","deployments":[]}')
    )
    it.effect("GET /namespaces/ANY/deployments, with namespaces without deployments", () =>
      expectBody(
        "/namespaces/ANY/deployments",
        '[{"namespace":"default","deployments":[]},{"namespace":"kube-system","deployments":["fred","jane","sally"]},{"namespace":"personal","deployments":["kafka","nginx","resource-access"]}]'
      )
    )
    it.effect("GET /namespaces/:namespace/deployments/:deployment/replica_count", () =>
      expectBody(
        "/namespaces/personal/deployments/nginx/replica_count",
        '{"namespace":"personal","deployment":"nginx","replica_count":12}'
      )
    )
    it.effect("GET /namespaces/:namespace/deployments/ANY/replica_count", () =>
      expectBody(
        "/namespaces/personal/deployments/ANY/replica_count",
        '{"namespace":"personal","deployments":[{"deployment":"kafka","replica_count":3},{"deployment":"nginx","replica_count":12},{"deployment":"resource-access","replica_count":2}]}'
      )
    )
    it.effect("GET /namespaces/ANY/deployments/ANY/replica_count", () =>
      expectBody(
        "/namespaces/ANY/deployments/ANY/replica_count",
        '[{"namespace":"default","deployments":[]},{"namespace":"kube-system","deployments":[{"deployment":"fred","replica_count":1},{"deployment":"jane","replica_count":2},{"deployment":"sally","replica_count":1}]},{"namespace":"personal","deployments":[{"deployment":"kafka","replica_count":3},{"deployment":"nginx","replica_count":12},{"deployment":"resource-access","replica_count":2}]}]'
      )
    )
    it.effect("GET /namespaces/ANY/deployments/:deployment/replica_count", () =>
      expectBody(
        "/namespaces/ANY/deployments/jane/replica_count",
        '[{"namespace":"kube-system","deployment":"jane","replica_count":2}]'
      )
    )
    it.effect("percent-encoding is decoded once", () =>
      Effect.gen(function* () {
        const answer = yield* ask("/namespaces/%70ersonal/deployments/resource%2Daccess/replica_count")
        assert.strictEqual(answer.status, 200)
        yield* expectProblem("/namespaces/%2570ersonal/deployments", 400, "BadRequest")
      })
    )
    it.effect("a query is ignored", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* ask("/namespaces?pretty=true&x=%zz")).status, 200)
      })
    )
  })

  describe("probes", () => {
    for (const path of ["/livez", "/readyz"]) {
      for (const client of ["admin", "none", "stranger"] as const) {
        it.effect(`${path} returns 200 {} to ${client}`, () =>
          Effect.gen(function* () {
            const answer = yield* ask(path, { client })
            assert.strictEqual(answer.status, 200)
            assert.strictEqual(answer.body, "{}")
            assert.strictEqual(answer.headers["content-type"], "application/json")
            assert.strictEqual((yield* ask(path, { client, method: "HEAD" })).status, 200)
          })
        )
      }
    }
  })

  describe("400 BadRequest", () => {
    const long = (length: number) => "a".repeat(length)
    for (const path of [
      "/namespaces/Personal/deployments",
      "/namespaces/-personal/deployments",
      "/namespaces/per_sonal/deployments",
      "/namespaces/a.b/deployments",
      `/namespaces/${long(64)}/deployments`,
      `/namespaces/personal/deployments/${long(254)}/replica_count`,
      "/namespaces/personal/deployments/a..b/replica_count",
      "/namespaces/%00/deployments",
      "/namespaces/%zz/deployments",
      "/namespaces/%/deployments",
      "/namespaces/%ff/deployments",
      "/namespaces/%c0%af/deployments",
      "/namespaces/personal%2Fdeployments/deployments",
      "/namespaces/personal;x/deployments",
      "/namespaces/../deployments"
    ]) {
      it.effect(`GET ${path.slice(0, 60)}`, () => expectProblem(path, 400, "BadRequest"))
    }
    for (const count of [
      "-1",
      "+1",
      "01",
      "1.0",
      "1e3",
      "",
      "2147483648",
      "99999999999999999999",
      "0x10",
      "%31%20",
      "ANY"
    ]) {
      it.effect(`PUT .../replica_count/${count}`, () =>
        count === ""
          ? expectProblem("/namespaces/personal/deployments/nginx/replica_count/", 400, "BadRequest", { method: "PUT" })
          : expectProblem(`/namespaces/personal/deployments/nginx/replica_count/${count}`, 400, "BadRequest", {
              method: "PUT"
            })
      )
    }
    it.effect("PUT with ANY", () =>
      Effect.gen(function* () {
        yield* expectProblem("/namespaces/ANY/deployments/nginx/replica_count/1", 400, "BadRequest", { method: "PUT" })
        yield* expectProblem("/namespaces/personal/deployments/ANY/replica_count/1", 400, "BadRequest", {
          method: "PUT"
        })
      })
    )
    it.effect("the detail names the expected format", () =>
      Effect.gen(function* () {
        const answer = yield* ask("/namespaces/Personal/deployments")
        assert.match(answer.body, /namespace/)
        assert.match(answer.body, /DNS-1123/)
        const put = yield* ask("/namespaces/personal/deployments/nginx/replica_count/-1", { method: "PUT" })
        assert.match(put.body, /0\.\.2147483647/)
      })
    )
  })

  describe("403 Unidentified", () => {
    for (const client of ["none", "stranger", "expired", "wrong-usage", "nameless"] as const) {
      it.effect(`to ${client} for reads, writes and the OpenAPI document`, () =>
        Effect.gen(function* () {
          yield* expectProblem("/namespaces", 403, "Unidentified", { client })
          yield* expectProblem("/namespaces/personal/deployments", 403, "Unidentified", { client })
          yield* expectProblem("/namespaces/ANY/deployments/ANY/replica_count", 403, "Unidentified", { client })
          yield* expectProblem("/namespaces/personal/deployments/nginx/replica_count/1", 403, "Unidentified", {
            client,
            method: "PUT"
          })
          yield* expectProblem("/openapi.json", 403, "Unidentified", { client })
        })
      )
    }
  })

  describe("404 UnknownEndpoint", () => {
    for (const [method, path] of [
      ["GET", "/"],
      ["GET", "/nothing"],
      ["GET", "/namespaces/"],
      ["GET", "/Namespaces"],
      ["GET", "//namespaces"],
      ["GET", "/namespaces/personal"],
      ["GET", "/namespaces/personal/deployments/nginx"],
      ["GET", "/namespaces/personal/deployments/nginx/replica_count/3"],
      ["HEAD", "/namespaces/personal/deployments/nginx/replica_count/3"],
      ["POST", "/namespaces"],
      ["DELETE", "/namespaces/personal/deployments/nginx/replica_count"],
      ["PUT", "/namespaces/personal/deployments/nginx/replica_count"],
      ["OPTIONS", "/namespaces"],
      ["PATCH", "/livez"]
    ] as const) {
      it.effect(`${method} ${path}`, () => expectProblem(path, 404, "UnknownEndpoint", { method }))
    }
  })

  describe("410 NotFound", () => {
    for (const path of [
      "/namespaces/absent/deployments",
      "/namespaces/absent/deployments/ANY/replica_count",
      "/namespaces/absent/deployments/nginx/replica_count",
      "/namespaces/personal/deployments/absent/replica_count",
      "/namespaces/ANY/deployments/absent/replica_count"
    ]) {
      it.effect(`GET ${path}`, () => expectProblem(path, 410, "NotFound"))
    }
    it.effect("PUT for an unknown deployment", () =>
      expectProblem("/namespaces/personal/deployments/absent/replica_count/1", 410, "NotFound", { method: "PUT" })
    )
  })

  describe("414 UriTooLong and 431 HeaderFieldsTooLarge", () => {
    it.effect("a request target of more than 2048 bytes", () =>
      Effect.gen(function* () {
        const target = (length: number) => `/namespaces?${"x".repeat(length - "/namespaces?".length)}`
        assert.strictEqual((yield* ask(target(2048))).status, 200)
        yield* expectProblem(target(2049), 414, "UriTooLong")
        yield* expectProblem(target(9000), 414, "UriTooLong")
        yield* expectProblem(target(40_000), 414, "UriTooLong")
      })
    )
    it.effect("a header block beyond the limit", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* ask("/namespaces", { headers: { "x-large": "x".repeat(7000) } })).status, 200)
        yield* expectProblem("/namespaces", 431, "HeaderFieldsTooLarge", { headers: { "x-large": "x".repeat(8192) } })
        yield* expectProblem("/namespaces", 431, "HeaderFieldsTooLarge", { headers: { "x-large": "x".repeat(12_000) } })
        yield* expectProblem("/namespaces", 431, "HeaderFieldsTooLarge", { headers: { "x-large": "x".repeat(60_000) } })
      })
    )
  })

  describe("order of checks", () => {
    it.effect("a body beyond the limit gets 400 after the checks for 404 and 403", () =>
      Effect.gen(function* () {
        const headers = { "content-length": "99999" }
        yield* expectProblem("/nothing", 404, "UnknownEndpoint", { client: "none", method: "POST", headers })
        const put = "/namespaces/personal/deployments/nginx/replica_count/3"
        yield* expectProblem(put, 403, "Unidentified", { client: "stranger", method: "PUT", headers })
        yield* expectProblem(put, 400, "BadRequest", { method: "PUT", headers })
        assert.strictEqual((yield* ask("/livez", { client: "none", headers })).status, 200)
      })
    )
    it.effect("414 precedes 404, 403, 400 and 410, in this order", () =>
      Effect.gen(function* () {
        yield* expectProblem(`/nothing/${"x".repeat(3000)}`, 414, "UriTooLong", { client: "none" })
        yield* expectProblem("/nothing/%zz", 404, "UnknownEndpoint", { client: "none" })
        yield* expectProblem("/namespaces/%zz/deployments", 403, "Unidentified", { client: "none" })
        yield* expectProblem("/namespaces/absent/deployments/%zz/replica_count", 400, "BadRequest")
      })
    )
  })

  describe("X-Request-Id", () => {
    it.effect("repeats the caller's id of 1-128 characters [A-Za-z0-9._-], else is a new UUID", () =>
      Effect.gen(function* () {
        for (const id of ["a", "Az09._-", "x".repeat(128)]) {
          assert.strictEqual(
            (yield* ask("/namespaces", { headers: { "x-request-id": id } })).headers["x-request-id"],
            id
          )
        }
        for (const id of ["", "x".repeat(129), "a b", "a,b", "ä"]) {
          const given = (yield* ask("/namespaces", { headers: { "x-request-id": id } })).headers["x-request-id"]
          assert.match(String(given), /^[0-9a-f-]{36}$/)
        }
        for (const path of ["/livez", "/nothing", "/namespaces/absent/deployments"]) {
          assert.strictEqual(
            (yield* ask(path, { headers: { "x-request-id": "mine" } })).headers["x-request-id"],
            "mine"
          )
        }
      })
    )
  })

  describe("the OpenAPI document", () => {
    it.effect("names every path and every status of a write", () =>
      Effect.gen(function* () {
        const answer = yield* ask("/openapi.json", { client: "viewer" })
        assert.strictEqual(answer.status, 200)
        const document: { paths: Record<string, Record<string, { responses: Record<string, unknown> }>> } = JSON.parse(
          answer.body
        )
        assert.sameMembers(Object.keys(document.paths), [
          "/namespaces",
          "/namespaces/{namespace}/deployments",
          "/namespaces/ANY/deployments",
          "/namespaces/{namespace}/deployments/{deployment}/replica_count",
          "/namespaces/{namespace}/deployments/ANY/replica_count",
          "/namespaces/ANY/deployments/ANY/replica_count",
          "/namespaces/ANY/deployments/{deployment}/replica_count",
          "/namespaces/{namespace}/deployments/{deployment}/replica_count/{replica_count}",
          "/livez",
          "/readyz",
          "/openapi.json",
          "/metrics"
        ])
        const put =
          document.paths["/namespaces/{namespace}/deployments/{deployment}/replica_count/{replica_count}"]?.["put"]
        assert.includeMembers(Object.keys(put?.responses ?? {}), [
          "200",
          "400",
          "401",
          "403",
          "408",
          "410",
          "414",
          "429",
          "431",
          "500",
          "503"
        ])
      })
    )
  })
})

withService()("PUT /namespaces/:namespace/deployments/:deployment/replica_count/:replica_count", (it) => {
  it.effect("returns {} once the cluster has accepted the patch of the scale subresource", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      yield* kube.clearRequests
      const answer = yield* ask("/namespaces/personal/deployments/nginx/replica_count/38", { method: "PUT" })
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.body, "{}")
      const patches = (yield* kube.requests).filter(({ method }) => method === "PATCH")
      assert.strictEqual(patches.length, 1)
      assert.match(patches[0]?.path ?? "", /\/deployments\/nginx\/scale\?.*fieldManager=kube-resource-api/)
      assert.strictEqual(
        (yield* ask("/namespaces/personal/deployments/nginx/replica_count")).body,
        '{"namespace":"personal","deployment":"nginx","replica_count":38}'
      )
    })
  )
  it.effect("accepts 0 and 2147483647", () =>
    Effect.gen(function* () {
      for (const count of ["0", "2147483647"]) {
        assert.strictEqual(
          (yield* ask(`/namespaces/kube-system/deployments/fred/replica_count/${count}`, { method: "PUT" })).status,
          200
        )
        assert.include((yield* ask("/namespaces/kube-system/deployments/fred/replica_count")).body, `:${count}}`)
      }
    })
  )
  it.effect("read-your-writes: a GET after the 200 returns the new count before the watch event arrives", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const { port } = yield* TestService
      yield* kube.faults.stallWatches()
      for (const count of [5, 6, 7]) {
        yield* ask(`/namespaces/personal/deployments/kafka/replica_count/${count}`, { method: "PUT" })
        const read = yield* send(port, {
          client: "viewer",
          path: "/namespaces/personal/deployments/kafka/replica_count"
        })
        assert.strictEqual(read.body, `{"namespace":"personal","deployment":"kafka","replica_count":${count}}`)
      }
    })
  )
  it.effect("returns 401 with the cluster's reason if the cluster forbids the write", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      yield* kube.faults.failNext(1, { status: 403, on: "patch" })
      const answer = yield* expectProblem(
        "/namespaces/personal/deployments/nginx/replica_count/1",
        401,
        "Unauthorized",
        {
          method: "PUT"
        }
      )
      assert.match(answer.body, /cluster/i)
    })
  )
  it.effect("returns 503 with Retry-After if the cluster fails or is overloaded", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      for (const failure of [{ status: 500 }, { status: 503 }, { status: 429, retryAfter: 7 }]) {
        yield* kube.faults.failNext(1, { ...failure, on: "patch" })
        const answer = yield* expectProblem(
          "/namespaces/personal/deployments/nginx/replica_count/1",
          503,
          "ClusterUnavailable",
          { method: "PUT" }
        )
        assert.match(String(answer.headers["retry-after"]), /^[1-9][0-9]*$/)
        if (failure.retryAfter !== undefined) assert.strictEqual(answer.headers["retry-after"], "7")
      }
    })
  )
})

withService({ unsynced: Effect.flatMap(EmbeddedKube, ({ faults }) => faults.hang(true)) })(
  "before the first full sync",
  (it) => {
    it.effect("reads and writes get 503 NotReady with Retry-After, /readyz 503 and /livez 200", () =>
      Effect.gen(function* () {
        const answer = yield* expectProblem("/namespaces", 503, "NotReady")
        assert.match(String(answer.headers["retry-after"]), /^[1-9][0-9]*$/)
        yield* expectProblem("/namespaces/absent/deployments", 503, "NotReady")
        yield* expectProblem("/namespaces/personal/deployments/nginx/replica_count/1", 503, "NotReady", {
          method: "PUT"
        })
        yield* expectProblem("/readyz", 503, "NotReady", { client: "none" })
        assert.strictEqual((yield* ask("/livez", { client: "none" })).status, 200)
        const { faults } = yield* EmbeddedKube
        const { cache } = yield* TestService
        yield* faults.hang(false)
        yield* faults.dropWatches()
        yield* cache.awaitSynced
        assert.strictEqual((yield* ask("/readyz", { client: "none" })).status, 200)
      })
    )
  }
)
