/** Metrics whose value is read when they are asked for, and never set. They are taken out when the scope closes. */
import { Effect, Metric, type Scope } from "effect"

/** What a metric is called, what it means, and its labels. */
export interface Description {
  readonly name: string
  readonly description: string
  readonly attributes?: Readonly<Record<string, string>>
}

const registered = <Input, State>(
  metric: Metric.Metric<Input, State>,
  get: () => State
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.contextWith((context) =>
        Effect.sync(() => Metric.registerUnsafe(metric, context, { get, update: () => {}, modify: () => {} }))
      ),
      (registration) => Effect.sync(registration.remove)
    )
  )

/** A gauge that is what `value` gives. */
export const gauge = ({ name, ...options }: Description, value: () => number) =>
  registered(Metric.gauge(name, options), () => ({ value: value() }))

/** A counter that is at what `count` gives. */
export const counter = ({ name, ...options }: Description, count: () => number) =>
  registered(Metric.counter(name, { ...options, incremental: true }), () => ({ count: count(), incremental: true }))
