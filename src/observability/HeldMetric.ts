/** Updates of a metric that happen too often to look it up in the registry each time. */
import { Context, Metric } from "effect"

/**
 * What updates this metric in the registry of `context`, where it is looked up once, now: for the life of the registry
 * its series must not be taken out of it.
 */
export const updater = <Input, State>(
  metric: Metric.Metric<Input, State>,
  context: Context.Context<never>
): ((input: Input) => void) => {
  const registry = Context.get(context, Metric.MetricRegistry)
  // A metric tells its key, and its hooks, to a registry alone.
  const asked: Metric.MetricRegistry = new Map()
  metric.valueUnsafe(Context.add(context, Metric.MetricRegistry, asked))
  for (const [key, made] of asked) if (!registry.has(key)) registry.set(key, made)
  const [key = ""] = asked.keys()
  const hooks: Metric.Metric.Hooks<Input, State> | undefined = registry.get(key)?.hooks
  if (hooks === undefined) throw new Error(`The metric ${metric.id} did not register itself.`)
  return (input) => hooks.update(input, context)
}
