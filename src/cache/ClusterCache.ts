import { Cause, Clock, Context, Deferred, Effect, Exit, Layer, Stream } from "effect"
import type { ClusterEvent, WatchedResource } from "../model/ClusterEvent.ts"
import type { NamespaceName } from "../contract/Names.ts"
import type { DeploymentObject } from "../model/ReadModel.ts"
import * as View from "./ClusterView.ts"

/**
 * Is told of each event that the cache has taken in, for metrics, and the time, in milliseconds since the epoch. It must
 * not throw. By default nobody is told.
 */
export const CacheObserver = Context.Reference<{
  readonly applied: (event: ClusterEvent, atMillis: number) => void
}>("kube-resource-api/cache/CacheObserver", { defaultValue: () => ({ applied: () => {} }) })

/** Steers the cache of `ClusterCache.layerMemory`. */
export class CacheFeed extends Context.Service<
  CacheFeed,
  {
    /** Takes the event in before it succeeds. */
    readonly apply: (event: ClusterEvent) => Effect.Effect<void>
  }
>()("kube-resource-api/cache/CacheFeed") {}

/**
 * Holds what is known of the cluster. Its reads are plain functions that do no work but give what is there.
 */
export class ClusterCache extends Context.Service<
  ClusterCache,
  {
    /** The view as of now. */
    readonly current: () => View.ClusterView
    /** Whether the first full sync, of namespaces and of deployments, is done. */
    readonly isSynced: () => boolean
    /** Waits for the first full sync. */
    readonly awaitSynced: Effect.Effect<void>
    /**
     * Whole seconds since the cluster was last heard: 0 while all watches are live, else since the one that is lost was
     * last heard (the longest ago of them), and since the start if it never was.
     */
    readonly age: (nowMillis: number) => number
    /** Takes in a write that the cluster accepted: each read that starts after it sees it. */
    readonly written: (object: DeploymentObject) => Effect.Effect<void>
    /**
     * Never succeeds; dies once the cache can no longer follow the cluster, with the defect that stopped it. To go on
     * would be to serve an ever older view: let the process end.
     */
    readonly failed: Effect.Effect<never>
  }
>()("kube-resource-api/cache/ClusterCache") {
  /**
   * The cache that follows `events` for as long as its scope is open. The stream is not meant to end. `namespaces`: those
   * whose deployments are each watched by itself; absent, the whole cluster's are watched as one.
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

  /** The cache after `events`, following nothing but its `CacheFeed`. */
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

interface Liveness {
  live: boolean
  heardAt: number
}

/** Each watch by a name of its own; a slash is in no name. */
const watchOf = (resource: WatchedResource, namespace: NamespaceName | undefined): string =>
  namespace === undefined ? resource : `${resource}/${namespace}`

const make = Effect.fnUntraced(function* (namespaces: ReadonlyArray<NamespaceName> | undefined) {
  const observer = yield* CacheObserver
  const clock = yield* Clock.Clock
  const synced = yield* Deferred.make<void>()
  const start = clock.currentTimeMillisUnsafe()
  const scopes = namespaces ?? [undefined]
  const watches = new Map<string, Liveness>(
    [watchOf("namespaces", undefined), ...scopes.map((scope) => watchOf("deployments", scope))].map((watch) => [
      watch,
      { live: false, heardAt: start }
    ])
  )
  /** When the watch was last heard that has been silent longest of those that are lost; undefined where none is. */
  let silentSince: number | undefined = start
  let view = namespaces === undefined ? View.empty : View.emptyOf(namespaces)

  const note = (event: ClusterEvent, now: number) => {
    const { resource, namespace, live, agoMillis } = sign(event)
    const liveness = watches.get(watchOf(resource, namespaces === undefined ? undefined : namespace))
    if (liveness === undefined) return
    const stays = liveness.live && live !== false
    if (live !== undefined) liveness.live = live
    if (agoMillis !== undefined) liveness.heardAt = now - agoMillis
    else if (live !== false) liveness.heardAt = now
    if (stays) return
    const lost = Array.from(watches.values()).filter((one) => !one.live)
    silentSince = lost.length === 0 ? undefined : Math.min(...lost.map(({ heardAt }) => heardAt))
  }

  const take = (events: Iterable<ClusterEvent>): Effect.Effect<void> =>
    Effect.sync(() => {
      const now = clock.currentTimeMillisUnsafe()
      for (const event of events) {
        view = View.apply(view, event)
        note(event, now)
        observer.applied(event, now)
      }
      if (View.isSynced(view)) Deferred.doneUnsafe(synced, Effect.void)
    })

  return {
    take,
    cache: {
      current: () => view,
      isSynced: () => View.isSynced(view),
      awaitSynced: Deferred.await(synced),
      age: (nowMillis: number) =>
        silentSince === undefined ? 0 : Math.max(0, Math.floor((nowMillis - silentSince) / 1000)),
      written: (object: DeploymentObject) =>
        Effect.sync(() => {
          view = View.written(view, object)
        })
    }
  }
})

/**
 * What an event shows of its watch: that it is live, that it is not, or neither, as a list does. `namespace`: of what is
 * in one, whose watch it may be. `agoMillis`: how long ago the cluster was heard, where the event says.
 */
export const sign = (
  event: ClusterEvent
): {
  readonly resource: WatchedResource
  readonly namespace?: NamespaceName | undefined
  readonly live: boolean | undefined
  readonly agoMillis?: number | undefined
} => {
  switch (event._tag) {
    case "NamespacesReplaced":
      return { resource: "namespaces", live: undefined }
    case "DeploymentsReplaced":
      return { resource: "deployments", namespace: event.namespace, live: undefined }
    case "NamespaceApplied":
    case "NamespaceDeleted":
      return { resource: "namespaces", live: true }
    case "DeploymentApplied":
      return { resource: "deployments", namespace: event.object.namespace, live: true }
    case "DeploymentDeleted":
      return { resource: "deployments", namespace: event.ref.namespace, live: true }
    case "Heard":
      return { resource: event.resource, namespace: event.namespace, live: true, agoMillis: event.agoMillis }
    case "Lost":
      return { resource: event.resource, namespace: event.namespace, live: false, agoMillis: event.agoMillis }
  }
}
