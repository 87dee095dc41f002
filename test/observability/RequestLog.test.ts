import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { CompletedRequest } from "../../src/observability/RequestObserver.ts"
import * as RequestLog from "../../src/observability/RequestLog.ts"
import { completed, identity } from "./Requests.ts"

const Line = Schema.fromJsonString(
  Schema.Struct({
    message: Schema.Literal("request"),
    level: Schema.String,
    timestamp: Schema.String,
    annotations: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Number]))
  })
)

const parsed = (request: CompletedRequest) => {
  const line = RequestLog.jsonLine()(request)
  assert.strictEqual(line.indexOf("\n"), line.length - 1)
  return Schema.decodeUnknownSync(Line)(line)
}

const logged = (
  settings: RequestLog.RequestLogSettings,
  statuses: ReadonlyArray<number>,
  permits: (level: string) => boolean = () => true
) => {
  const lines: Array<string> = []
  const observer = RequestLog.make(
    settings,
    { write: (line) => void lines.push(line) },
    ({ status }) => String(status),
    permits
  )
  for (const status of statuses) observer.completed(completed({ status }))
  return lines.map(Number)
}

describe("a line of the request log", () => {
  it("has the request id, caller, route with parameters, and outcome", () => {
    assert.deepStrictEqual(parsed(completed()), {
      message: "request",
      level: "INFO",
      timestamp: "2026-11-24T05:59:28.123Z",
      annotations: {
        requestId: "r-1",
        subject: "viewer",
        method: "GET",
        route: "/namespaces/:namespace/deployments/:deployment/replica_count",
        namespace: "personal",
        deployment: "nginx",
        status: 200,
        durationMs: 0.123,
        bytes: 64
      }
    })
  })

  it("has the error code, the path without its query for an unknown endpoint, and the address of an unidentified caller", () => {
    const { annotations } = parsed(
      completed({
        route: undefined,
        params: {},
        target: "/nope?token=s3cret",
        status: 404,
        code: "UnknownEndpoint",
        identity: undefined,
        remoteAddress: "10.0.0.1"
      })
    )
    assert.strictEqual(annotations["path"], "/nope")
    assert.strictEqual(annotations["code"], "UnknownEndpoint")
    assert.strictEqual(annotations["remoteAddress"], "10.0.0.1")
    assert.notProperty(annotations, "subject")
  })

  it("renders each route of requests that share their parameters", () => {
    const line = RequestLog.jsonLine()
    const params = {}
    const routes = ["/livez", "/readyz", "/livez"].map(
      (route) => Schema.decodeUnknownSync(Line)(line(completed({ route, params }))).annotations["route"]
    )
    assert.deepStrictEqual(routes, ["/livez", "/readyz", "/livez"])
  })

  it.effect.prop(
    "does not depend on the lines before it",
    {
      requests: Schema.Array(
        Schema.Struct({
          user: Schema.UndefinedOr(Schema.Literals(["a", "b"])),
          route: Schema.UndefinedOr(Schema.Literals(["/livez", "/namespaces"])),
          method: Schema.Literals(["GET", "HEAD"]),
          status: Schema.Literals([200, 404, 500]),
          code: Schema.UndefinedOr(Schema.Literals(["NotFound", "Internal"])),
          remoteAddress: Schema.UndefinedOr(Schema.Literal("10.0.0.1")),
          receivedAt: Schema.Literals([0, 1]),
          durationMillis: Schema.UndefinedOr(Schema.Literals([0, 0.0004, 0.4567, 0.9996, 123.4567])),
          responseBytes: Schema.Literals([0, 64]),
          traceId: Schema.UndefinedOr(Schema.Literal("abc"))
        })
      )
    },
    ({ requests }) =>
      Effect.sync(() => {
        const line = RequestLog.jsonLine()
        const params = { namespace: "personal" }
        for (const { user, ...given } of requests) {
          const request = completed({ ...given, params, identity: user === undefined ? undefined : identity(user) })
          assert.strictEqual(line(request), RequestLog.jsonLine()(request))
        }
      })
  )

  it("has the trace id of a traced request", () =>
    assert.strictEqual(parsed(completed({ traceId: "abc" })).annotations["traceId"], "abc"))

  it.effect.prop(
    "escapes all text that a client chooses",
    { text: Schema.String, route: Schema.Boolean },
    ({ route, text }) =>
      Effect.sync(() => {
        const { annotations } = parsed(
          completed({
            identity: identity(text),
            method: text,
            params: { namespace: text },
            ...(route ? {} : { route: undefined, target: text })
          })
        )
        assert.strictEqual(annotations["subject"], text)
        assert.strictEqual(annotations["method"], text)
        assert.strictEqual(annotations["namespace"], text)
        const pretty = RequestLog.prettyLine()(
          completed({ identity: identity(text), params: { namespace: text, deployment: text }, target: text })
        )
        assert.isFalse(Array.from(pretty.slice(0, -1)).some((character) => character < " "))
      })
  )

  it("is one short line in the pretty format", () =>
    assert.strictEqual(
      RequestLog.prettyLine()(completed()),
      "[05:59:28.123] INFO GET /namespaces/personal/deployments/nginx/replica_count 200 0.12 ms 64 B viewer r-1\n"
    ))
})

describe("REQUEST_LOG", () => {
  const statuses = [200, 200, 404, 200, 500, 200, 503, 200, 499]

  it("all logs every request", () =>
    assert.deepStrictEqual(logged({ requestLog: "all", requestLogSample: 3 }, statuses), statuses))

  it("errors logs errors only", () =>
    assert.deepStrictEqual(logged({ requestLog: "errors", requestLogSample: 3 }, statuses), [404, 500, 503, 499]))

  it("sampled logs errors and one in REQUEST_LOG_SAMPLE other requests", () =>
    assert.deepStrictEqual(logged({ requestLog: "sampled", requestLogSample: 3 }, statuses), [404, 200, 500, 503, 499]))

  it("off logs nothing", () => assert.deepStrictEqual(logged({ requestLog: "off", requestLogSample: 3 }, statuses), []))

  it("respects the log level: a defect is an error, another 5xx a warning, all else info", () => {
    const all = { requestLog: "all", requestLogSample: 1 } as const
    assert.deepStrictEqual(
      logged(all, statuses, (level) => level !== "Info"),
      [500, 503]
    )
    assert.deepStrictEqual(
      logged(all, statuses, (level) => level === "Error"),
      [500]
    )
  })
})
