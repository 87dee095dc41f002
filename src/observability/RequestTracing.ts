import { Context, type Tracer } from "effect"

/** The tracers of requests. */
export interface RequestTracing {
  /** Whether a request makes spans: always with a `traceparent`, otherwise at the sampling ratio. */
  readonly isTraced: (traceparent: string | ReadonlyArray<string> | undefined) => boolean
  /** The tracer of traced requests. */
  readonly traced: Tracer.Tracer
  /** The tracer of all other requests: it exports nothing. */
  readonly untraced: Tracer.Tracer
}

/** The tracers; `undefined` without a collector. A traced request takes the routes, which make its spans. */
export const RequestTracing: Context.Reference<RequestTracing | undefined> = Context.Reference<
  RequestTracing | undefined
>("kube-resource-api/observability/RequestTracing", { defaultValue: () => undefined })
