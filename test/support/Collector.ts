import { Effect, Schema, type Scope } from "effect"
import { createServer } from "node:http"
import { eventually } from "./Eventually.ts"
import { listening } from "./Ports.ts"

const Value = Schema.Struct({
  stringValue: Schema.optional(Schema.String),
  intValue: Schema.optional(Schema.Union([Schema.Number, Schema.String]))
})
const Attributes = Schema.Array(Schema.Struct({ key: Schema.String, value: Value }))
const Span = Schema.Struct({
  traceId: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optional(Schema.String),
  name: Schema.String,
  kind: Schema.Number,
  attributes: Attributes
})
const Traces = Schema.fromJsonString(
  Schema.Struct({
    resourceSpans: Schema.Array(
      Schema.Struct({
        resource: Schema.Struct({ attributes: Attributes }),
        scopeSpans: Schema.Array(Schema.Struct({ spans: Schema.Array(Span) }))
      })
    )
  })
)

/** An exported span. */
export interface ExportedSpan extends Schema.Schema.Type<typeof Span> {}

const attribute = (attributes: Schema.Schema.Type<typeof Attributes>, key: string) => {
  const value = attributes.find((one) => one.key === key)?.value
  return value === undefined ? undefined : (value.stringValue ?? String(value.intValue))
}

/** An OpenTelemetry collector for OTLP in JSON over HTTP, and what it received. */
export interface Collector {
  readonly url: string
  readonly spans: ReadonlyArray<ExportedSpan>
  readonly services: ReadonlySet<string>
  readonly authorizations: ReadonlySet<string>
  /** An attribute of a span. */
  readonly of: (span: ExportedSpan, key: string) => string | undefined
  /** Waits for a span that meets the predicate. */
  readonly span: (is: (span: ExportedSpan) => boolean) => Effect.Effect<ExportedSpan>
}

/** A collector on a free port, closed with the scope. */
export const collector: Effect.Effect<Collector, never, Scope.Scope> = Effect.gen(function* () {
  const spans: Array<ExportedSpan> = []
  const services = new Set<string>()
  const authorizations = new Set<string>()
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      if (request.method !== "POST" || request.url !== "/v1/traces") return response.writeHead(404).end()
      authorizations.add(request.headers.authorization ?? "")
      for (const { resource, scopeSpans } of Schema.decodeUnknownSync(Traces)(Buffer.concat(chunks).toString())
        .resourceSpans) {
        services.add(attribute(resource.attributes, "service.name") ?? "")
        for (const scope of scopeSpans) spans.push(...scope.spans)
      }
      return response.writeHead(200, { "content-type": "application/json" }).end("{}")
    })
  })
  const port = yield* listening(server)
  yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    services,
    authorizations,
    of: (one, key) => attribute(one.attributes, key),
    span: (is) =>
      eventually(
        () => spans.find(is),
        (found) => found !== undefined
      )
  }
})
