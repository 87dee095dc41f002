import { Effect, Metric } from "effect"

/** A gauge that is read whenever metrics are, and costs nothing in between. It is there as long as the scope is open. */
export const register = (name: string, description: string, read: () => number) =>
  Effect.flatMap(Effect.context<never>(), (services) =>
    Effect.acquireRelease(
      Effect.sync(() =>
        Metric.registerUnsafe(Metric.gauge(name, { description }), services, {
          get: () => ({ value: read() }),
          update: () => {},
          modify: () => {}
        })
      ),
      (registration) => Effect.sync(() => registration.remove())
    )
  )
