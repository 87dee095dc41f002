import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Context, Effect, Layer, Schema, Tracer } from "effect"
import { type CompletedRequest, RequestObserver } from "../../src/observability/RequestObserver.ts"
import { RequestTracing } from "../../src/observability/RequestTracing.ts"
import { Authorization, refused } from "../../src/authorization/Authorization.ts"
import { readPaths, send } from "../support/Https.ts"
import { exchange } from "../support/Sockets.ts"
import { TestService, withService } from "../support/TestService.ts"

/** Denies `nobody` and allows all others. Records the checks of the routes; the read path uses `alreadyAllows`. */
const authorization = (asked: Array<string>) =>
  Layer.succeed(Authorization, {
    alreadyAllows: ({ user }) => user !== "nobody",
    requiresIfMatch: () => false,
    check: (identity, access) =>
      Effect.suspend(() => {
        asked.push(`${access.verb} ${access.resource}`)
        return identity.user === "nobody" ? Effect.fail(refused(identity, access)) : Effect.void
      })
  })

const observing = (requests: Array<CompletedRequest>) =>
  Layer.succeed(RequestObserver, { received: () => {}, completed: (request) => void requests.push(request) })

const service = Effect.fnUntraced(function* (throughTheRoutes: boolean) {
  const observed: Array<CompletedRequest> = []
  const asked: Array<string> = []
  const services = yield* Layer.build(
    TestService.layer({ authorizer: authorization(asked) }).pipe(
      Layer.provide(observing(observed)),
      // A traced request takes the routes; Effect's own tracer makes no spans.
      Layer.provide(
        throughTheRoutes
          ? Layer.succeed(RequestTracing, {
              isTraced: () => true,
              traced: Tracer.nativeTracer,
              untraced: Tracer.nativeTracer
            })
          : Layer.empty
      )
    )
  )
  return { port: Context.get(services, TestService).port, observed, asked }
})

const names = [
  "personal",
  "kube-system",
  "default",
  "nginx",
  "kafka",
  "ANY",
  "nowhere",
  "Personal",
  "a..b",
  "%61ny",
  "%41NY",
  ""
]
const Target = Schema.Struct({
  segments: Schema.Array(
    Schema.Literals(["namespaces", "deployments", "replica_count", "openapi.json", ...names])
  ).check(Schema.isMaxLength(7)),
  tail: Schema.Literals(["", "?", "?a=b", "/", "//", "#x", ";y", "%2f", "x".repeat(3000)])
})
/** Conditions that some response meets and some does not, and malformed ones. */
const conditions = [
  'If-None-Match: "12"',
  'If-None-Match: "3", W/"12"',
  "If-None-Match: *",
  "If-None-Match: 12",
  "Prefer: wait=0",
  "Prefer: wait=x"
] as const

/** Reads and requests that resemble reads. */
const Requested = Schema.Struct({
  client: Schema.Literals(["admin", "nobody", "none"]),
  method: Schema.Literals(["GET", "HEAD", "get", "PUT", "POST"]),
  target: Schema.Union([
    Schema.Struct({ namespace: Schema.Literals(names), rest: Schema.Literals(["/deployments", "", "/x"]) }),
    Schema.Struct({ namespace: Schema.Literals(names), deployment: Schema.Literals(names) }),
    Target,
    Schema.Literals([...readPaths, "https://elsewhere/namespaces", "*", "//namespaces"])
  ]),
  fields: Schema.Array(
    Schema.Literals([
      ...conditions,
      "Host: again",
      "Content-Length: 0",
      "Content-Length: 9999",
      "Transfer-Encoding: chunked",
      "Expect: the-unexpected",
      "Accept: text/html",
      "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      `X-Long: ${"y".repeat(9000)}`,
      "X-Request-Id: given-1",
      "x-request-id: not acceptable!",
      "X-REQUEST-ID: given-2"
    ])
  ).check(Schema.isMaxLength(2)),
  version: Schema.Literals(["1.1", "1.0"])
})

const known = Schema.Literals(["personal", "kube-system", "nginx", "kafka", "ANY"])

/** Valid reads. */
const Plain = Schema.Struct({
  client: Schema.Literals(["admin", "nobody"]),
  method: Schema.Literal("GET"),
  target: Schema.Union([
    Schema.Literals(readPaths),
    Schema.Struct({ namespace: known, rest: Schema.Literal("/deployments") }),
    Schema.Struct({ namespace: known, deployment: known })
  ]),
  fields: Schema.Array(
    Schema.Literals([...conditions, "Accept: text/html", "X-Request-Id: given-1", "x-request-id: not acceptable!"])
  ).check(Schema.isMaxLength(2)),
  version: Schema.Literal("1.1")
})

const textOf = ({ fields, method, target, version }: typeof Requested.Type): string => {
  const path =
    typeof target === "string"
      ? target
      : "segments" in target
        ? `/${target.segments.join("/")}${target.tail}`
        : "deployment" in target
          ? `/namespaces/${target.namespace}/deployments/${target.deployment}/replica_count`
          : `/namespaces/${target.namespace}${target.rest}`
  const body = fields.includes("Transfer-Encoding: chunked") ? "0\r\n\r\n" : ""
  return `${method} ${path} HTTP/${version}\r\n${["Host: x", "Connection: close", ...fields].join("\r\n")}\r\n\r\n${body}`
}

/** The response without the parts that differ between two responses. */
const comparable = (answer: string): ReadonlyArray<string> => {
  const [head = "", body = ""] = answer.split("\r\n\r\n")
  const [line = "", ...fields] = head.split("\r\n")
  const uuid = /[0-9a-f]{8}-[0-9a-f-]{27}/g
  return [line, ...fields.filter((field) => !/^date:/i.test(field)).sort(), body].map((text) =>
    text.replaceAll(uuid, "an id")
  )
}

/** The observed request without the parts that differ between two requests. */
const told = ({ durationMillis, id, identity, receivedAt, ...rest }: CompletedRequest) => ({
  ...rest,
  user: identity?.user,
  timed: durationMillis !== undefined && durationMillis >= 0,
  known: id !== "" && receivedAt > 0
})

describe("the read path", () => {
  it.live("gives the same responses and records as the routes for generated requests", () =>
    Effect.gen(function* () {
      const short = yield* service(false)
      const long = yield* service(true)
      const requests: ReadonlyArray<typeof Requested.Type> = [
        ...(yield* Arbitrary.sampleEffect(Arbitrary.schema(Plain), { count: 200 })),
        ...(yield* Arbitrary.sampleEffect(Arbitrary.schema(Requested), { count: 500 }))
      ]
      let answeredShort = 0
      for (const request of requests) {
        const text = textOf(request)
        const options = { client: request.client }
        const asked = short.asked.length
        const [one, other] = yield* Effect.all(
          [exchange(short.port, [text], options), exchange(long.port, [text], options)],
          { concurrency: 2 }
        )
        assert.deepStrictEqual(comparable(one), comparable(other), text.slice(0, 300))
        if (one.startsWith("HTTP/1.1 200") && short.asked.length === asked) answeredShort++
      }
      assert.isAbove(answeredShort, 20)
      assert.deepStrictEqual(short.observed.map(told), long.observed.map(told))
    }).pipe(Effect.scoped)
  )
})

const asked: Array<string> = []

withService({ authorizer: authorization(asked) })("reads that the authorizer has already allowed", (it) => {
  for (const path of readPaths) {
    it.effect(`GET ${path} bypasses the routes`, () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        asked.length = 0
        assert.strictEqual((yield* send(port, { client: "viewer", path })).status, 200)
        assert.deepStrictEqual(asked, [])
      })
    )
  }

  it.effect("during the shutdown, reads take the routes and close the connection", () =>
    Effect.gen(function* () {
      const { lifecycle, port } = yield* TestService
      yield* lifecycle.beginShutdown
      asked.length = 0
      const { headers, status } = yield* send(port, { client: "viewer", path: "/namespaces" })
      assert.strictEqual(status, 200)
      assert.strictEqual(headers["connection"], "close")
      assert.deepStrictEqual(asked, ["list namespaces"])
    })
  )
})
