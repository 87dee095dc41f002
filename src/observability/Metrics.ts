/** Metrics whose value is read when they are scraped, and series that are looked up once. */
import { Context, Effect, Metric, type Scope } from "effect"

/** Name, description and labels of a metric. */
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

/** Registers a gauge that reads `value` at each scrape, until the scope closes. */
export const gauge = ({ name, ...options }: Description, value: () => number) =>
  registered(Metric.gauge(name, options), () => ({ value: value() }))

/** Registers a counter that reads `count` at each scrape, until the scope closes. */
export const counter = ({ name, ...options }: Description, count: () => number) =>
  registered(Metric.counter(name, { ...options, incremental: true }), () => ({ count: count(), incremental: true }))

/**
 * Looks the metric up in the registry of `context` and returns its update function, for updates that are too frequent for
 * a lookup each. The series must not be removed during the life of the registry.
 */
export const updater = <Input, State>(
  metric: Metric.Metric<Input, State>,
  context: Context.Context<never>
): ((input: Input) => void) => {
  const registry = Context.get(context, Metric.MetricRegistry)
  // Only a registry learns the key and the hooks of a metric.
  const own: Metric.MetricRegistry = new Map()
  metric.valueUnsafe(Context.add(context, Metric.MetricRegistry, own))
  for (const [key, made] of own) if (!registry.has(key)) registry.set(key, made)
  const [key = ""] = own.keys()
  const hooks: Metric.Metric.Hooks<Input, State> | undefined = registry.get(key)?.hooks
  if (hooks === undefined) throw new Error(`The metric ${metric.id} did not register itself.`)
  return (input) => hooks.update(input, context)
}

/** Makes a value once for each key. The set of keys must be bounded. */
export const memoized = <K, V>(make: (key: K) => V): ((key: K) => V) => {
  const known = new Map<K, V>()
  return (key) => {
    let value = known.get(key)
    if (value === undefined) {
      value = make(key)
      known.set(key, value)
    }
    return value
  }
}
