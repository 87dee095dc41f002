import { Context, type Tracer } from "effect"

/** How requests are traced. */
export interface RequestTracing {
  /** Whether a request makes spans: its caller's trace decides that, and without one a random draw. */
  readonly isTraced: (traceparent: string | ReadonlyArray<string> | undefined) => boolean
  /** The tracer of traced requests. */
  readonly traced: Tracer.Tracer
  /** The tracer of all other requests: it exports nothing. */
  readonly untraced: Tracer.Tracer
}

/** How requests are traced; `undefined` where none is. A traced request takes the routes, which make its spans. */
export const RequestTracing: Context.Reference<RequestTracing | undefined> = Context.Reference<
  RequestTracing | undefined
>("kube-resource-api/observability/RequestTracing", { defaultValue: () => undefined })
