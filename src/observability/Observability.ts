/** Metrics, request log and traces, as the settings select. */
import { Context, Effect, Layer, References } from "effect"
import * as LogLevel from "effect/LogLevel"
import type { Writable } from "node:stream"
import * as RequestObserver from "./RequestObserver.ts"
import { CacheObserver } from "../cache/ClusterCache.ts"
import * as InformerObserver from "../kube/InformerObserver.ts"
import * as AuthorizationMetrics from "./AuthorizationMetrics.ts"
import * as CacheMetrics from "./CacheMetrics.ts"
import * as InformerMetrics from "./InformerMetrics.ts"
import * as LineWriter from "./LineWriter.ts"
import { isPretty, type LoggingSettings } from "./Logging.ts"
import * as ProcessMetrics from "./ProcessMetrics.ts"
import * as RequestLog from "./RequestLog.ts"
import * as RequestMetrics from "./RequestMetrics.ts"
import * as Tracing from "./Tracing.ts"
import * as SharedCacheMetrics from "./SharedCacheMetrics.ts"
import { Authorization } from "../authorization/Authorization.ts"
import { SharedCacheObserver, unobserved } from "../shared/SharedCacheObserver.ts"

/** Settings of metrics, logs and traces. */
export interface ObservabilitySettings extends LoggingSettings, RequestLog.RequestLogSettings, Tracing.TracingSettings {
  /** `redis` adds the metrics of the shared cache. */
  readonly cache?: "memory" | "redis" | undefined
}

/** The destination of the request log. `terminal`: whether it is a terminal. */
export interface Output {
  readonly stream: Writable
  readonly terminal: boolean
}

const requestLog = Effect.fnUntraced(function* (settings: ObservabilitySettings, output: Output) {
  if (settings.requestLog === "off") return []
  const writer = yield* LineWriter.make(output.stream)
  const minimum = yield* References.MinimumLogLevel
  return [
    RequestLog.make(
      settings,
      writer,
      isPretty(settings, output.terminal) ? RequestLog.prettyLine() : RequestLog.jsonLine(),
      (level) => LogLevel.isGreaterThanOrEqualTo(level, minimum)
    )
  ]
})

const observers = (settings: ObservabilitySettings, output: Output) =>
  Layer.effectContext(
    Effect.gen(function* () {
      const requests = yield* RequestMetrics.make
      const informer = yield* InformerMetrics.make
      const { applied, emitting } = yield* CacheMetrics.makeObserver
      const counting = { ...informer, emitting }
      return Context.make(
        RequestObserver.RequestObserver,
        RequestObserver.all([requests, ...(yield* requestLog(settings, output))])
      ).pipe(
        Context.add(CacheObserver, { applied }),
        Context.add(SharedCacheObserver, settings.cache === "redis" ? yield* SharedCacheMetrics.make : unobserved),
        Context.add(
          InformerObserver.InformerObserver,
          settings.otlpEndpoint === undefined
            ? counting
            : InformerObserver.all([counting, yield* Tracing.informerObserver])
        )
      )
    })
  )

/**
 * The observers of the server, the cache and the informers and, with a collector, the tracer. The request log is flushed
 * before the scope closes.
 */
export const layer = (settings: ObservabilitySettings, output: Output) =>
  Layer.mergeAll(
    observers(settings, output),
    Layer.effectDiscard(ProcessMetrics.register),
    settings.otlpEndpoint === undefined
      ? Layer.empty
      : Tracing.layer({ ...settings, otlpEndpoint: settings.otlpEndpoint })
  )

/** The authorizer, with its decisions counted and, with a collector, traced. */
export const authorization = <E, R>(
  settings: ObservabilitySettings,
  decides: Layer.Layer<Authorization, E, R>
): Layer.Layer<Authorization, E, R> =>
  Layer.effect(
    Authorization,
    Effect.flatMap(Authorization, (decider) =>
      AuthorizationMetrics.counted(settings.otlpEndpoint === undefined ? decider : Tracing.tracedAuthorization(decider))
    )
  ).pipe(Layer.provide(decides))
