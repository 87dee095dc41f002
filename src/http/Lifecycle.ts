import { Context, Duration, Effect, Layer } from "effect"

/**
 * Whether the instance is shutting down. `beginShutdown` turns `/readyz` to 503 and returns after the drain period. The
 * port stays open meanwhile, so that load balancers notice.
 */
export class Lifecycle extends Context.Service<
  Lifecycle,
  { readonly isShuttingDown: () => boolean; readonly beginShutdown: Effect.Effect<void> }
>()("kube-resource-api/http/Lifecycle") {
  static readonly layer = (drainPeriod: Duration.Duration) =>
    Layer.sync(Lifecycle, () => {
      let shuttingDown = false
      return {
        isShuttingDown: () => shuttingDown,
        beginShutdown: Effect.suspend(() => {
          shuttingDown = true
          return Effect.sleep(drainPeriod)
        })
      }
    })
}
