import { Cause, Clock, Context, Deferred, Effect, Exit, Layer, Option, Stream, SubscriptionRef } from "effect"
import type { NamespaceName } from "../contract/Names.ts"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import { monotonicMillis } from "../model/MonotonicTime.ts"
import type { DeploymentObject } from "../model/ReadModel.ts"
import * as View from "./ClusterView.ts"
import { Freshness } from "./Freshness.ts"
import { type Subscriber, Subscriptions, type TaggedTarget } from "./Subscriptions.ts"

/**
 * Observes each event that the cache has applied, with the time in milliseconds since the epoch. It must not throw. The
 * default does nothing.
 */
export const CacheObserver = Context.Reference<{
  readonly applied: (event: ClusterEvent, atMillis: number) => void
}>("kube-resource-api/cache/CacheObserver", { defaultValue: () => ({ applied: () => {} }) })

/** Feeds the cache of `ClusterCache.layerMemory`. */
export class CacheFeed extends Context.Service<
  CacheFeed,
  {
    /** Succeeds once the cache has applied the event. */
    readonly apply: (event: ClusterEvent) => Effect.Effect<void>
  }
>()("kube-resource-api/cache/CacheFeed") {}

/** Holds the view of the cluster in a `SubscriptionRef`. Reads are plain functions. */
export class ClusterCache extends Context.Service<
  ClusterCache,
  {
    /** The current view. */
    readonly current: () => View.ClusterView
    /** The current view, then later ones. A slow consumer gets the newest one; no other is retained for it. */
    readonly changes: Stream.Stream<View.ClusterView>
    /** Whether the first full sync, of namespaces and of deployments, is done. */
    readonly isSynced: () => boolean
    /** Waits for the first full sync. */
    readonly awaitSynced: Effect.Effect<void>
    /**
     * The age of the view in whole seconds: 0 while all watches are live. Otherwise the time since the last event of
     * the lost watch that has been silent longest, or since the start if it had none.
     */
    readonly age: () => number
    /**
     * Subscribes to a target. The subscriber is called after each change of the target's entity tag; `current` then gives
     * the view with the change, or a later one. The result ends the subscription.
     */
    readonly subscribe: (target: TaggedTarget, subscriber: Subscriber) => () => void
    /** Applies a write that the cluster accepted: each read that starts afterwards sees it. */
    readonly written: (object: DeploymentObject) => Effect.Effect<void>
    /**
     * Never succeeds. Dies once the cache can no longer follow the cluster, with the defect that stopped it. The
     * process should then end, rather than serve an ever older view.
     */
    readonly failed: Effect.Effect<never>
  }
>()("kube-resource-api/cache/ClusterCache") {
  /**
   * The cache that follows `events` for as long as its scope is open. The stream is not meant to end. `namespaces`: the
   * namespaces whose deployments are watched, each by its own watch; absent, one watch covers the whole cluster.
   */
  static readonly layer = <R>(
    events: Stream.Stream<ClusterEvent, never, R>,
    namespaces?: ReadonlyArray<NamespaceName>
  ): Layer.Layer<ClusterCache, never, R> =>
    Layer.effect(
      ClusterCache,
      Effect.gen(function* () {
        const { cache, take } = yield* make(namespaces)
        const failed = yield* Deferred.make<never>()
        yield* Stream.runForEachArray(events, take).pipe(
          Effect.andThen(Effect.die(new Error("The stream of cluster events ended."))),
          Effect.onExit((exit) =>
            Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
              ? Deferred.failCause(failed, exit.cause)
              : Effect.void
          ),
          Effect.forkScoped
        )
        return { ...cache, failed: Deferred.await(failed) }
      })
    )

  /** The cache after `events`. It follows only its `CacheFeed`. */
  static readonly layerMemory = (events: Iterable<ClusterEvent> = []): Layer.Layer<ClusterCache | CacheFeed> =>
    Layer.effectContext(
      Effect.gen(function* () {
        const { cache, take } = yield* make(undefined)
        yield* take(events)
        return Context.make(ClusterCache, { ...cache, failed: Effect.never }).pipe(
          Context.add(CacheFeed, { apply: (event) => take([event]) })
        )
      })
    )
}

const make = Effect.fnUntraced(function* (namespaces: ReadonlyArray<NamespaceName> | undefined) {
  const observer = yield* CacheObserver
  const clock = yield* Clock.Clock
  const synced = yield* Deferred.make<void>()
  const freshness = new Freshness(namespaces, monotonicMillis(clock))
  const views = yield* SubscriptionRef.make(namespaces === undefined ? View.empty : View.emptyOf(namespaces))
  const current = () => SubscriptionRef.getUnsafe(views)

  const subscriptions = new Subscriptions()

  // Subscribers receive only changed views. They are notified in the step that sets the view: between two steps another
  // fiber could send the new tag of a change that is not noted yet.
  const update = (next: (view: View.ClusterView) => View.ClusterView) =>
    SubscriptionRef.updateSome(views, (view) => {
      const changed = next(view)
      subscriptions.settle(view, changed)
      return changed === view ? Option.none() : Option.some(changed)
    })

  const take = (events: Iterable<ClusterEvent>): Effect.Effect<void> =>
    update((view) => {
      const now = clock.currentTimeMillisUnsafe()
      const heardAt = monotonicMillis(clock)
      let next = view
      for (const event of events) {
        next = View.apply(next, event)
        subscriptions.note(event)
        freshness.note(event, heardAt)
        observer.applied(event, now)
      }
      return next
    }).pipe(
      Effect.andThen(
        Effect.suspend(() => (View.isSynced(current()) ? Deferred.succeed(synced, undefined) : Effect.void))
      )
    )

  return {
    take,
    cache: {
      current,
      changes: Stream.buffer(SubscriptionRef.changes(views), { capacity: 1, strategy: "sliding" }),
      isSynced: () => View.isSynced(current()),
      awaitSynced: Deferred.await(synced),
      age: () => freshness.age(monotonicMillis(clock)),
      subscribe: (target: TaggedTarget, subscriber: Subscriber) => subscriptions.add(current(), target, subscriber),
      written: (object: DeploymentObject) =>
        update((view) => {
          subscriptions.noteWrite(object)
          return View.written(view, object)
        })
    }
  }
})
