import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { connect as connectPlain } from "node:net"
import { connect } from "node:tls"
import { RequestObserver } from "../../src/observability/RequestObserver.ts"
import { DeploymentScaler } from "../../src/model/DeploymentScaler.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { Authorization } from "../../src/authorization/Authorization.ts"
import { completed, identity } from "../observability/Requests.ts"
import { agent, send } from "../support/Https.ts"
import { metrics, metricsWhere, observed, sum } from "../support/Observed.ts"
import { clientOptions, file } from "../support/Pki.ts"
import { exchange } from "../support/Sockets.ts"
import { type Overrides, TestService } from "../support/TestService.ts"

const withObserved = (overrides: Overrides = {}) =>
  layer(TestService.layer(overrides).pipe(Layer.provideMerge(observed())), { excludeTestServices: true })

const count = "/namespaces/personal/deployments/nginx/replica_count"
const countRoute = 'route="/namespaces/:namespace/deployments/:deployment/replica_count"'

withObserved()("GET /metrics", (it) => {
  it.effect("serves the Prometheus text format over mutual TLS", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const answer = yield* send(port, { client: "admin", path: "/metrics" })
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
      assert.match(answer.body, /^# HELP [a-z]/)
      assert.isTrue(answer.body.endsWith("\n"))
    })
  )

  it.effect("renders one page for many requests", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const answers = yield* Effect.all(
        Array.from({ length: 20 }, () => send(port, { client: "admin", path: "/metrics" })),
        { concurrency: "unbounded" }
      )
      assert.isBelow(new Set(answers.map(({ body }) => body)).size, 10)
    })
  )

  it.effect("answers HEAD without a body", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const answer = yield* send(port, { client: "admin", path: "/metrics", method: "HEAD" })
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.body, "")
    })
  )

  it.effect("returns 403 to an unidentified caller", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      assert.strictEqual((yield* send(port, { client: "none", path: "/metrics" })).status, 403)
    })
  )
})

withObserved({
  authorizer: Authorization.layerScripted(({ user }, { resource }) => user === "admin" || resource !== "metrics")
})("GET /metrics by a caller without permission", (it) => {
  it.effect("returns 401", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const answer = yield* send(port, { client: "viewer", path: "/metrics" })
      assert.strictEqual(answer.status, 401)
      assert.include(answer.body, "get metrics")
      assert.strictEqual((yield* send(port, { client: "viewer", path: count })).status, 200)
    })
  )
})

withObserved({ headersTimeout: Duration.millis(300), requestTimeout: Duration.seconds(60) })(
  "http_requests_total counts",
  (it) => {
    it.effect("reads, HEAD requests, refusals and unknown endpoints", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const before = yield* metrics(port)
        yield* send(port, { client: "viewer", path: count })
        yield* send(port, { client: "viewer", path: count, method: "HEAD" })
        yield* send(port, { client: "viewer", path: "/namespaces/personal/deployments/nope/replica_count" })
        yield* send(port, { client: "viewer", path: "/namespaces/No_Name/deployments/nginx/replica_count" })
        yield* send(port, { client: "none", path: count })
        yield* send(port, { client: "viewer", path: "/nope" })
        yield* send(port, { client: "viewer", path: count, method: "DELETE" })
        yield* send(port, { client: "viewer", path: `/${"x".repeat(3000)}` })
        const after = yield* metrics(port)
        const added = (...labels: ReadonlyArray<string>) =>
          sum(after, "http_requests_total", ...labels) - sum(before, "http_requests_total", ...labels)
        assert.strictEqual(added(countRoute, 'method="GET"', 'code="200"'), 1)
        assert.strictEqual(added(countRoute, 'method="HEAD"', 'code="200"'), 1)
        assert.strictEqual(added(countRoute, 'code="410"'), 1)
        assert.strictEqual(added(countRoute, 'code="400"'), 1)
        assert.strictEqual(added(countRoute, 'code="403"'), 1)
        assert.strictEqual(added('route="unmatched"', 'method="GET"', 'code="404"'), 1)
        assert.strictEqual(added('route="unmatched"', 'method="DELETE"', 'code="404"'), 1)
        assert.strictEqual(added('route="unmatched"', 'code="414"'), 1)
        assert.strictEqual(sum(after, "http_requests_in_flight"), 1)
        assert.isAbove(sum(after, "http_response_size_bytes_sum", countRoute), 0)
        assert.isAbove(sum(after, "requests_by_user_kind_total", 'user_kind="person"', 'access="read"'), 0)
        assert.strictEqual(sum(after, "distinct_users", 'window="1d"'), 1)
      })
    )

    it.effect("requests that Node's parser rejects or that time out", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const before = yield* metrics(port)
        yield* exchange(port, ["GARBAGE\r\n\r\n"])
        yield* exchange(port, ["GET /livez HTT"], { client: "none" })
        const after = yield* metrics(port)
        for (const code of ["400", "408"]) {
          const labels = ['route="unmatched"', 'method="other"', `code="${code}"`]
          assert.strictEqual(
            sum(after, "http_requests_total", ...labels) - sum(before, "http_requests_total", ...labels),
            1
          )
        }
      })
    )

    it.effect("CONNECT requests", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        yield* exchange(port, ["CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"])
        const page = yield* metrics(port)
        assert.strictEqual(sum(page, "http_requests_total", 'method="CONNECT"', 'code="404"'), 1)
      })
    )

    it.effect("a request whose client disconnects before the response, as 499", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const kube = yield* EmbeddedKube
        yield* kube.faults.slow(60_000)
        const asking = yield* Effect.forkChild(send(port, { client: "admin", method: "PUT", path: `${count}/5` }), {
          startImmediately: true
        })
        yield* metricsWhere(port, (page) => sum(page, "http_requests_in_flight") === 2)
        yield* Fiber.interrupt(asking)
        const page = yield* metricsWhere(port, (page) => sum(page, "http_requests_total", 'code="499"') === 1)
        assert.strictEqual(sum(page, "http_requests_in_flight"), 1)
        assert.strictEqual(sum(page, "http_requests_total", 'method="PUT"', 'code="499"', ":replica_count"), 1)
      })
    )
  }
)

withObserved({
  scaler: Layer.succeed(DeploymentScaler, { scale: () => Effect.die(new Error("a defect")) })
})("a defect", (it) => {
  it.effect("is counted as 500", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      assert.strictEqual((yield* send(port, { client: "admin", method: "PUT", path: `${count}/5` })).status, 500)
      assert.strictEqual(sum(yield* metrics(port), "http_requests_total", 'method="PUT"', 'code="500"'), 1)
    })
  )
})

withObserved()("handshakes", (it) => {
  const broken = (port: number, options: object) =>
    Effect.callback<void>((resume) => {
      const socket = connect({ host: "127.0.0.1", port, ...clientOptions("admin"), ...options })
      socket.once("error", () => resume(Effect.void))
      socket.once("close", () => resume(Effect.void))
    })

  it.effect("are counted by result, and client certificates by validity", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      for (const client of ["none", "expired", "stranger", "wrong-usage"] as const) {
        yield* send(port, { client, path: "/livez" })
      }
      yield* broken(port, { maxVersion: "TLSv1.2" })
      yield* Effect.callback<void>((resume) => {
        const socket = connectPlain(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\n\r\n"))
        socket.once("close", () => resume(Effect.void))
        socket.once("error", () => {})
      })
      const page = yield* metricsWhere(port, (page) => sum(page, "tls_handshakes_total", 'result="plain-http"') === 1)
      assert.strictEqual(sum(page, "tls_handshakes_total", 'result="protocol"'), 1)
      for (const result of ["none", "expired", "unknown-authority", "wrong-usage"]) {
        assert.strictEqual(sum(page, "tls_client_certificates_total", `result="${result}"`), 1, result)
      }
      assert.isAbove(sum(page, "tls_client_certificates_total", 'result="verified"'), 0)
    })
  )
})

withObserved({ tlsCrlFile: file("ca.crl"), tlsClientAuth: "require" })("refused handshakes", (it) => {
  it.effect("are counted by reason", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      yield* Effect.ignore(send(port, { client: "revoked", path: "/livez" }))
      yield* Effect.ignore(send(port, { client: "none", path: "/livez" }))
      yield* metricsWhere(port, (page) => sum(page, "tls_handshakes_total", 'result="certificate"') === 2)
    })
  )
})

withObserved()("metrics of informer, cache and cluster", (it) => {
  it.effect("reflect writes, an outage and a relist", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const kube = yield* EmbeddedKube
      const before = yield* metricsWhere(port, (page) => sum(page, "informer_connected") === 2)
      assert.strictEqual(sum(before, "cache_namespaces"), 3)
      assert.strictEqual(sum(before, "cache_deployments"), 6)
      assert.strictEqual(sum(before, "cache_synced"), 1)
      assert.strictEqual(sum(before, "informer_relists_total", 'reason="start"'), 2)
      assert.strictEqual(sum(before, "informer_relist_duration_seconds_count"), 2)
      assert.isAbove(sum(before, "cache_apply_lag_seconds_count"), 0)
      assert.isAbove(sum(before, "kube_requests_total", 'verb="watch"', 'code="200"'), 1)
      yield* send(port, { client: "admin", method: "PUT", path: `${count}/5` })
      yield* metricsWhere(port, (page) => sum(page, "kube_requests_total", 'verb="scale"', 'code="200"') === 1)
      yield* metricsWhere(port, (page) => sum(page, "cache_events_total", 'type="DeploymentApplied"') === 1)

      yield* kube.faults.unavailable(true)
      yield* metricsWhere(port, (page) => sum(page, "informer_connected") === 0)
      yield* metricsWhere(port, (page) => sum(page, "cache_age_seconds") >= 1)
      yield* metricsWhere(port, (page) => sum(page, "kube_requests_total", 'code="unreachable"') > 0)
      yield* kube.faults.unavailable(false)
      yield* metricsWhere(port, (page) => sum(page, "informer_connected") === 2 && sum(page, "cache_age_seconds") === 0)
      yield* kube.faults.goneNow()
      yield* metricsWhere(port, (page) => sum(page, "informer_relists_total", 'reason="expired"') > 0)
    })
  )
})

withObserved()("after 10,000 different namespaces, deployments, users and unknown paths", (it) => {
  it.effect("the page has less than 200 kB and names none of them", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const pool = yield* agent("viewer", 16)
      yield* Effect.forEach(
        Array.from({ length: 10_000 }, (_, at) => [
          `/namespaces/unheard-${at}/deployments/unheard-${at}/replica_count`,
          `/unheard-${at}`
        ]).flat(),
        (path) => send(port, { client: "viewer", path, agent: pool }),
        { concurrency: 16, discard: true }
      )
      const observer = yield* RequestObserver
      for (let at = 0; at < 10_000; at++) {
        observer.received()
        observer.completed(completed({ identity: identity(`unheard-${at}`), receivedAt: Date.now() }))
      }
      const page = yield* metrics(port)
      assert.strictEqual(sum(page, "http_requests_total", 'code="410"'), 10_000)
      assert.strictEqual(sum(page, "http_requests_total", 'code="404"'), 10_000)
      assert.approximately(sum(page, "distinct_users", 'window="1d"'), 10_000, 500)
      assert.isBelow(page.length, 200_000)
      assert.notInclude(page, "unheard")
    })
  )
})
