import { Context, Deferred, Duration, Effect, Layer } from "effect"

/**
 * Whether the instance is shutting down. `beginShutdown` turns `/readyz` to 503 and returns after the drain period. The
 * port stays open meanwhile, so that load balancers notice. `awaitShutdown` waits until it has begun.
 */
export class Lifecycle extends Context.Service<
  Lifecycle,
  {
    readonly isShuttingDown: () => boolean
    readonly awaitShutdown: Effect.Effect<void>
    readonly beginShutdown: Effect.Effect<void>
  }
>()("kube-resource-api/http/Lifecycle") {
  static readonly layer = (drainPeriod: Duration.Duration) =>
    Layer.sync(Lifecycle, () => {
      const begun = Deferred.makeUnsafe<void>()
      return {
        isShuttingDown: () => Deferred.isDoneUnsafe(begun),
        awaitShutdown: Deferred.await(begun),
        beginShutdown: Effect.andThen(Deferred.succeed(begun, undefined), Effect.sleep(drainPeriod))
      }
    })
}
