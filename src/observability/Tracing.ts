/**
 * Traces, exported by OTLP where there is a collector. Where there is none nothing here is part of the program, and
 * Effect's HTTP server makes no spans.
 */
import { Clock, Context, Effect, Exit, Layer, Option, Random, type Scope, Tracer } from "effect"
import { HttpMiddleware } from "effect/http"
import { OtlpExporter, OtlpSerialization, OtlpTracer } from "effect/observability"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { hostname } from "node:os"
import packageJson from "../../package.json" with { type: "json" }
import { Api } from "../contract/Api.ts"
import * as PathTemplate from "../contract/PathTemplate.ts"
import { RequestTracing } from "./RequestTracing.ts"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import { type InformerObserver, unobserved } from "../kube/InformerObserver.ts"
import { Authorization } from "../authorization/Authorization.ts"

/** Where traces go, and how many; the words are those of OpenTelemetry. */
export interface TracingSettings {
  readonly otlpEndpoint: string | undefined
  /** May hold secrets: never logged. */
  readonly otlpHeaders: Readonly<Record<string, string>> | undefined
  readonly otlpProtocol: "http/protobuf" | "http/json"
  readonly otelServiceName: string
  /** The part of the traces that begin here that is kept, 0..1; a caller's own decision comes before it. */
  readonly tracesSamplerArg: number
}

/** Keeps a part of the traces that begin here, whole, and follows the caller's decision on the others. */
export const sampled = (tracer: Tracer.Tracer, ratio: number, random: () => number): Tracer.Tracer => ({
  ...tracer,
  span: (options) =>
    tracer.span({
      ...options,
      sampled: options.sampled && (Option.isSome(options.parent) ? options.parent.value.sampled : random() < ratio)
    })
})

const paths = Object.values(Api.groups)
  .flatMap((group) => Object.values(group.endpoints).map(({ path }) => path))
  // As the router does, literal segments come before parameters.
  .toSorted((a, b) => a.split(":").length - b.split(":").length)

const templates = paths.map((path) => ({ path, matches: PathTemplate.matching(path) }))

/** The name of a request's span: its method and, where there is such an endpoint, the path template. */
export const spanName = (method: string, target: string): string => {
  const path = PathTemplate.pathOf(target)
  const found = templates.find(({ matches }) => matches(path) !== undefined)
  return found === undefined ? method : `${method} ${found.path}`
}

/** An authorizer whose decisions are spans of the request that they are for. */
export const tracedAuthorization = (authorization: Authorization["Service"]): Authorization["Service"] => ({
  ...authorization,
  check: (identity, access) =>
    Effect.withSpan(authorization.check(identity, access), "authorization", {
      attributes: { verb: access.verb, resource: access.resource }
    })
})

/** Makes a span of each whole list, from the moment it is due to the moment it is passed on. */
export const informerObserver: Effect.Effect<InformerObserver, never, Scope.Scope> = Effect.gen(function* () {
  const open = new Map<WatchedResource, Tracer.Span>()
  return {
    ...unobserved,
    listing: (resource, reason) =>
      Effect.gen(function* () {
        if (open.has(resource)) return
        open.set(
          resource,
          yield* Effect.makeSpan(`relist ${resource}`, { root: true, attributes: { resource, reason } })
        )
      }),
    relisted: (resource) =>
      Effect.map(Clock.currentTimeNanos, (now) => {
        open.get(resource)?.end(now, Exit.void)
        open.delete(resource)
      })
  }
})

/** The exporting tracer, as requests and everything else use it. The sampling ratio is drawn once for a request. */
const tracers = (settings: TracingSettings & { readonly otlpEndpoint: string }) =>
  Layer.effectContext(
    Effect.gen(function* () {
      const tracer = yield* OtlpTracer.make({
        url: `${settings.otlpEndpoint.replace(/\/+$/, "")}/v1/traces`,
        headers: settings.otlpHeaders,
        resource: {
          serviceName: settings.otelServiceName,
          serviceVersion: packageJson.version,
          attributes: { "service.instance.id": hostname() }
        }
      })
      const random = yield* Random.Random
      const ratio = settings.tracesSamplerArg
      const draw = () => random.nextDoubleUnsafe()
      return Context.make(Tracer.Tracer, sampled(tracer, ratio, draw)).pipe(
        Context.add(RequestTracing, {
          isTraced: (traceparent) => traceparent !== undefined || draw() < ratio,
          traced: tracer,
          untraced: sampled(tracer, 0, draw)
        })
      )
    })
  )

/** The tracers that export to the collector, and the names of spans. Probes and scrapes make no traces. */
export const layer = (settings: TracingSettings & { readonly otlpEndpoint: string }) =>
  Layer.mergeAll(
    tracers(settings),
    Layer.succeed(HttpMiddleware.SpanNameGenerator, (request) => spanName(request.method, request.url)),
    HttpMiddleware.layerTracerDisabledForUrls(["/livez", "/readyz", "/metrics"])
  ).pipe(
    Layer.provide(OtlpExporter.layerFlusher),
    Layer.provide(
      settings.otlpProtocol === "http/json" ? OtlpSerialization.layerJson : OtlpSerialization.layerProtobuf
    ),
    Layer.provide(NodeHttpClient.layerNodeHttp)
  )
