/**
 * Traces, exported to an OTLP collector. Without a collector the service does not build this layer, and Effect's HTTP server
 * makes no spans.
 */
import { Clock, Context, Effect, Exit, Layer, Option, Random, type Scope, Tracer } from "effect"
import { Headers, HttpMiddleware, HttpTraceContext } from "effect/http"
import { OtlpExporter, OtlpSerialization, OtlpTracer } from "effect/observability"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { hostname } from "node:os"
import packageJson from "../../package.json" with { type: "json" }
import { Api, metricsPath, probePaths } from "../contract/Api.ts"
import * as PathTemplate from "../contract/PathTemplate.ts"
import { RequestTracing } from "./RequestTracing.ts"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import { type InformerObserver, unobserved } from "../kube/InformerObserver.ts"
import { Authorization } from "../authorization/Authorization.ts"

/** Collector and sampling, with OpenTelemetry's terms. */
export interface TracingSettings {
  readonly otlpEndpoint: string | undefined
  /** May contain secrets, so they are never logged. */
  readonly otlpHeaders: Readonly<Record<string, string>> | undefined
  readonly otlpProtocol: "http/protobuf" | "http/json"
  readonly otelServiceName: string
  /** The fraction 0..1 of traces without a caller's decision to export. */
  readonly tracesSamplerArg: number
}

/** Samples a fraction of the traces that begin here, and follows the caller's decision on others. */
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
  // Literal segments precede parameters, as in the router.
  .toSorted((a, b) => a.split(":").length - b.split(":").length)

const templates = paths.map((path) => ({ path, matches: PathTemplate.matching(path) }))

/** The span name of a request: its method and, for a known endpoint, the path template. */
export const spanName = (method: string, target: string): string => {
  const path = PathTemplate.pathOf(target)
  const found = templates.find(({ matches }) => matches(path) !== undefined)
  return found === undefined ? method : `${method} ${found.path}`
}

/** Makes a span of each decision of an authorizer. */
export const tracedAuthorization = (authorization: Authorization["Service"]): Authorization["Service"] => ({
  ...authorization,
  check: (identity, access) =>
    Effect.withSpan(authorization.check(identity, access), "authorization", {
      attributes: { verb: access.verb, resource: access.resource }
    })
})

/** Makes a span of each relist, from when it is due until it is emitted. */
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

/** Whether a `traceparent` names a trace. A malformed one is ignored, as W3C Trace Context asks. */
const isValid = (traceparent: string | ReadonlyArray<string> | undefined): boolean =>
  typeof traceparent === "string" && Option.isSome(HttpTraceContext.w3c(Headers.fromInput({ traceparent })))

/** The exporting tracers. Sampling draws once for each request. */
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
          isTraced: (traceparent) => isValid(traceparent) || draw() < ratio,
          traced: tracer,
          untraced: sampled(tracer, 0, draw)
        })
      )
    })
  )

/** The exporting tracers and the names of spans. Probes and scrapes make no traces. */
export const layer = (settings: TracingSettings & { readonly otlpEndpoint: string }) =>
  Layer.mergeAll(
    tracers(settings),
    Layer.succeed(HttpMiddleware.SpanNameGenerator, (request) => spanName(request.method, request.url)),
    HttpMiddleware.layerTracerDisabledForUrls([...probePaths, metricsPath])
  ).pipe(
    Layer.provide(OtlpExporter.layerFlusher),
    Layer.provide(
      settings.otlpProtocol === "http/json" ? OtlpSerialization.layerJson : OtlpSerialization.layerProtobuf
    ),
    Layer.provide(NodeHttpClient.layerNodeHttp)
  )
