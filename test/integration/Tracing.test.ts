import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Tracer } from "effect"
import { PassThrough } from "node:stream"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import * as Observability from "../../src/observability/Observability.ts"
import { sampled, spanName } from "../../src/observability/Tracing.ts"
import { Authorization } from "../../src/authorization/Authorization.ts"
import { collector } from "../support/Collector.ts"
import { send } from "../support/Https.ts"
import { observed, observing } from "../support/Observed.ts"
import { demoSettings, start } from "../support/Process.ts"
import { TestService } from "../support/TestService.ts"

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
const callerSpan = "00f067aa0ba902b7"
const count = "/namespaces/personal/deployments/nginx/replica_count"

const logged = new PassThrough()

const traced = (url: string, ratio = 1) => {
  const settings = { ...observing, otlpEndpoint: url, tracesSamplerArg: ratio }
  return TestService.layer({ authorizer: Observability.authorization(settings, Authorization.layerAllowAll) }).pipe(
    Layer.provide(observed(undefined, { otlpEndpoint: url, tracesSamplerArg: ratio }))
  )
}

/** A write in the caller's trace, which the request to the cluster continues. */
const writeInTrace = Effect.gen(function* () {
  const { port } = yield* TestService
  const kube = yield* EmbeddedKube
  yield* send(port, {
    client: "admin",
    method: "PUT",
    path: `${count}/5`,
    headers: { traceparent: `00-${traceId}-${callerSpan}-01`, "x-request-id": "traced-1" }
  })
  const scaling = (yield* kube.requests).find(({ resource }) => resource === "deployments/scale")
  assert.include(scaling?.traceparent, `00-${traceId}-`)
})

describe("tracing", () => {
  it.live("continues the caller's trace through request, authorization and cluster", () =>
    Effect.gen(function* () {
      const collected = yield* collector
      yield* Effect.provide(writeInTrace, traced(collected.url))
      // The end of the service has exported all spans.
      const server = yield* collected.span(({ parentSpanId }) => parentSpanId === callerSpan)
      assert.strictEqual(server.traceId, traceId)
      assert.strictEqual(server.name, "PUT /namespaces/:namespace/deployments/:deployment/replica_count/:replica_count")
      assert.strictEqual(server.kind, 2)
      assert.strictEqual(collected.of(server, "http.response.status_code"), "200")
      assert.strictEqual(collected.of(server, "http.request.header.x-request-id"), "traced-1")
      assert.strictEqual(collected.of(server, "enduser.id"), "admin")
      const authorization = yield* collected.span(({ name }) => name === "authorization")
      assert.strictEqual(authorization.parentSpanId, server.spanId)
      assert.strictEqual(collected.of(authorization, "verb"), "set")
      const cluster = yield* collected.span((span) => span.kind === 3 && span.traceId === traceId)
      assert.strictEqual(collected.of(cluster, "http.request.method"), "PATCH")
      const relists = collected.spans.filter(({ name }) => name.startsWith("relist "))
      assert.deepStrictEqual(relists.map(({ name }) => name).sort(), ["relist deployments", "relist namespaces"])
      assert.deepStrictEqual([...collected.services], ["kube-resource-api"])
    })
  )

  it.live("passes the caller's trace to the cluster and the log without a collector", () =>
    writeInTrace.pipe(
      Effect.provide(TestService.layer().pipe(Layer.provide(observed(logged)))),
      Effect.andThen(Effect.sync(() => assert.include(String(logged.read()), `"traceId":"${traceId}"`)))
    )
  )

  it.live("exports neither probes nor requests that the caller does not sample", () =>
    Effect.gen(function* () {
      const collected = yield* collector
      yield* Effect.gen(function* () {
        const { port } = yield* TestService
        yield* send(port, { client: "none", path: "/livez" })
        yield* send(port, {
          client: "admin",
          path: "/namespaces",
          headers: { traceparent: `00-${traceId}-${callerSpan}-00` }
        })
        yield* send(port, { client: "admin", path: count })
      }).pipe(Effect.provide(traced(collected.url)))
      const read = yield* collected.span(({ name }) => name.startsWith("GET "))
      assert.include(read.name, "replica_count")
      assert.lengthOf(
        collected.spans.filter(({ kind }) => kind === 2),
        1
      )
    })
  )

  it("samples a fraction of its own traces, and follows the caller's decision on others", () => {
    const kept: Array<boolean> = []
    const base: Tracer.Tracer = Tracer.make({
      span: (options) => {
        kept.push(options.sampled)
        return new Tracer.NativeSpan(options)
      }
    })
    const draws = [0.1, 0.3, 0.9]
    const tracer = sampled(base, 0.25, () => draws.shift() ?? 1)
    const begin = (parent: Option.Option<Tracer.AnySpan>) =>
      tracer.span({
        name: "test",
        parent,
        annotations: Context.empty(),
        links: [],
        startTime: 0n,
        kind: "internal",
        root: false,
        sampled: true
      })
    begin(Option.none())
    begin(Option.none())
    begin(Option.some(Tracer.externalSpan({ traceId, spanId: callerSpan, sampled: true })))
    begin(Option.some(Tracer.externalSpan({ traceId, spanId: callerSpan, sampled: false })))
    assert.deepStrictEqual(kept, [true, false, true, false])
  })

  it.live("draws the sampling ratio once for a request, also for one with a malformed traceparent", () =>
    Effect.gen(function* () {
      const collected = yield* collector
      const requests = 40
      yield* Effect.gen(function* () {
        const { port } = yield* TestService
        for (let count = 0; count < requests; count++) {
          yield* send(port, {
            client: "admin",
            method: "PUT",
            path: `/namespaces/personal/deployments/nginx/replica_count/${count}`,
            headers: { traceparent: "malformed" }
          })
        }
      }).pipe(Effect.provide(traced(collected.url, 0.5)))
      // The informers' own requests to the cluster are roots too.
      const spans = collected.spans.filter(({ name }) => !name.startsWith("relist ") && name !== "GET")
      const roots = spans.filter(({ parentSpanId }) => parentSpanId === undefined || parentSpanId === "")
      assert.isAbove(roots.length, 0)
      assert.isBelow(roots.length, requests)
      // The spans of authorizer and cluster belong to the span of a request.
      assert.deepStrictEqual(
        roots.filter(({ name }) => !name.startsWith("PUT /")),
        []
      )
      assert.isAbove(spans.length, roots.length)
    })
  )

  it("names spans by method and path template, or by the method alone for an unknown path", () => {
    assert.strictEqual(spanName("GET", "/namespaces?x=1"), "GET /namespaces")
    assert.strictEqual(spanName("GET", `${count}`), "GET /namespaces/:namespace/deployments/:deployment/replica_count")
    assert.strictEqual(spanName("GET", "/namespaces/"), "GET")
    assert.strictEqual(spanName("GET", "/nope"), "GET")
  })

  it.live("the program exports to the configured endpoint with the secret header, and does not log the secret", () =>
    Effect.gen(function* () {
      const collected = yield* collector
      const instance = yield* start({
        ...demoSettings,
        OTEL_EXPORTER_OTLP_ENDPOINT: collected.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20s3cret",
        OTEL_SERVICE_NAME: "my-name"
      })
      const port = yield* instance.port
      yield* instance.printed('"Ready"')
      yield* send(port, { client: "admin", path: count })
      instance.child.kill("SIGTERM")
      assert.strictEqual(yield* instance.exited, 0)
      const span = yield* collected.span(({ name }) => name.endsWith("replica_count"))
      assert.include(instance.output(), `"traceId":"${span.traceId}"`)
      assert.deepStrictEqual([...collected.services], ["my-name"])
      assert.deepStrictEqual([...collected.authorizations], ["Bearer s3cret"])
      assert.notInclude(instance.output(), "s3cret")
    })
  )

  it.live("serves without a reachable collector", () =>
    Effect.gen(function* () {
      const instance = yield* start({ ...demoSettings, OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" })
      const port = yield* instance.port
      yield* instance.printed('"Ready"')
      assert.strictEqual((yield* send(port, { client: "admin", path: count })).status, 200)
      instance.child.kill("SIGTERM")
      assert.strictEqual(yield* instance.exited, 0)
    })
  )
})
