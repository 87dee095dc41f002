import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Metric } from "effect"
import { TestClock } from "effect/testing"
import { PrometheusMetrics } from "effect/observability"
import { Api } from "../../src/contract/Api.ts"
import * as RequestMetrics from "../../src/observability/RequestMetrics.ts"
import { completed, identity } from "./Requests.ts"

const registry = Layer.sync(Metric.MetricRegistry, () => new Map())

const page = PrometheusMetrics.format()

describe("RequestMetrics", () => {
  it.effect("counts requests by path template, method and status, and times them by status class", () =>
    Effect.gen(function* () {
      const observer = yield* RequestMetrics.make
      observer.completed(completed())
      observer.completed(completed({ status: 410, code: "NotFound" }))
      const text = yield* page
      const route = 'route="/namespaces/:namespace/deployments/:deployment/replica_count"'
      assert.include(text, `http_requests_total{${route},method="GET",code="200"} 1\n`)
      assert.include(text, `http_requests_total{${route},method="GET",code="410"} 1\n`)
      assert.include(text, `http_request_duration_seconds_bucket{${route},method="GET",code="2xx",le="0.0005"} 1\n`)
      assert.include(text, `http_request_duration_seconds_count{${route},method="GET",code="4xx"} 1\n`)
    }).pipe(Effect.provide(registry))
  )

  it.effect("counts but does not time an incomplete request", () =>
    Effect.gen(function* () {
      const observer = yield* RequestMetrics.make
      observer.completed(completed({ route: undefined, method: "unknown", status: 400, durationMillis: undefined }))
      const text = yield* page
      assert.include(text, 'http_requests_total{route="unmatched",method="other",code="400"} 1\n')
      assert.notInclude(text, "http_request_duration_seconds")
    }).pipe(Effect.provide(registry))
  )

  it.effect("reports requests in flight", () =>
    Effect.gen(function* () {
      const observer = yield* RequestMetrics.make
      observer.received()
      observer.received()
      observer.completed(completed())
      assert.include(yield* page, "http_requests_in_flight 1\n")
    }).pipe(Effect.provide(registry))
  )

  it.effect("reports distinct users of the last hour and day", () =>
    Effect.gen(function* () {
      const observer = yield* RequestMetrics.make
      observer.completed(completed({ identity: identity("a"), receivedAt: 0 }))
      observer.completed(completed({ identity: identity("b"), receivedAt: 0 }))
      observer.completed(completed({ identity: undefined, receivedAt: 0 }))
      assert.include(yield* page, 'distinct_users{window="1h"} 2\n')
      yield* TestClock.adjust("5 hours")
      assert.include(yield* page, 'distinct_users{window="1h"} 0\n')
      assert.include(yield* page, 'distinct_users{window="1d"} 2\n')
    }).pipe(Effect.provide(registry))
  )

  it("counts requests by kind of user", () => {
    assert.strictEqual(RequestMetrics.userKind(undefined), "unidentified")
    assert.strictEqual(RequestMetrics.userKind(identity("jane")), "person")
    assert.strictEqual(RequestMetrics.userKind(identity("shop", ["spiffe://company/shop"])), "workload")
    assert.strictEqual(RequestMetrics.userKind(identity("system:serviceaccount:ns:shop")), "service-account")
    assert.strictEqual(RequestMetrics.userKind(identity("system:node:a")), "system")
  })

  it.effect("has no label that a client chooses, and at most 200 kB for all series", () =>
    Effect.gen(function* () {
      const observer = yield* RequestMetrics.make
      const paths = Object.values(Api.groups).flatMap((group) => Object.values(group.endpoints))
      const refusals = [400, 401, 403, 408, 410, 429, 431, 499, 500, 503]
      for (const { method, path } of paths) {
        for (const used of method === "GET" ? ["GET", "HEAD"] : [method]) {
          for (const status of [200, ...refusals]) observer.completed(completed({ route: path, method: used, status }))
        }
      }
      for (let at = 0; at < 10_000; at++) {
        for (const status of [400, 404, 408, 414, 431]) {
          observer.completed(
            completed({
              route: undefined,
              method: ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", `SECRET${at}`][at % 8] ?? "",
              status,
              target: `/secret-${at}`
            })
          )
        }
        observer.completed(completed({ params: { namespace: `secret-${at}` }, identity: identity(`secret-${at}`) }))
      }
      const text = yield* page
      assert.notMatch(text, /secret/i)
      // All other series of the page take less than 15 kB.
      assert.isBelow(text.length, 185_000)
    }).pipe(Effect.provide(registry))
  )
})
