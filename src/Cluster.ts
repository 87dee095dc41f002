import { Effect, Layer } from "effect"
import { ClusterCache } from "./cache/ClusterCache.ts"
import { EventRecorder } from "./model/EventRecorder.ts"
import * as KubeAccessReviewer from "./kube/KubeAccessReviewer.ts"
import * as InformerObserver from "./kube/InformerObserver.ts"
import { KubeApi } from "./kube/KubeApi.ts"
import * as KubeEventRecorder from "./kube/KubeEventRecorder.ts"
import * as KubeHttp from "./kube/KubeHttp.ts"
import * as KubeScaler from "./kube/KubeScaler.ts"
import { KubeWatch, type KubeWatchOptions } from "./kube/KubeWatch.ts"
import * as NamespacedScaler from "./kube/NamespacedScaler.ts"
import * as CacheMetrics from "./observability/CacheMetrics.ts"
import type { SharedCacheOptions } from "./shared/SharedCacheOptions.ts"

/** How the cluster is followed and written to. */
export interface ClusterOptions extends KubeWatchOptions {
  /** Whether each accepted write is recorded as an Event on its deployment. Default: false. */
  readonly auditEvents?: boolean | undefined
}

/** The way to the cluster for writes and for questions of access. */
const requests = ({ auditEvents, namespaces }: ClusterOptions) =>
  Layer.mergeAll(
    namespaces === undefined ? KubeScaler.layer : Layer.provide(NamespacedScaler.layer(namespaces), KubeScaler.layer),
    KubeAccessReviewer.layer,
    auditEvents === true ? KubeEventRecorder.layer : EventRecorder.layerNone
  )

const overCluster = <A, E, R>(layer: Layer.Layer<A, E, R>) =>
  layer.pipe(Layer.provide(KubeApi.layer), Layer.provide(KubeHttp.layer))

/**
 * Cluster → informers → cache (with its gauges), and the way back for writes and for questions of access, over whatever
 * cluster the `KubeConfig` names; with `options.namespaces`, over those alone.
 */
export const layerOptions = (options: ClusterOptions) =>
  CacheMetrics.layerGauges.pipe(
    Layer.provideMerge(
      Layer.unwrap(Effect.map(KubeWatch, ({ events }) => ClusterCache.layer(events, options.namespaces)))
    ),
    Layer.provide(KubeWatch.layerOptions(options)),
    Layer.merge(requests(options)),
    overCluster
  )

/** What an instance does of it all: follows the cluster where it is its turn, serves clients, or both. */
export type Role = "all" | "watcher" | "server"

/** Informers that are not timed: what they tell goes by way of Redis, and comes to the cache as part of something else. */
const untimed = Layer.effect(
  InformerObserver.InformerObserver,
  Effect.map(InformerObserver.InformerObserver, (observer) => ({ ...observer, emitting: () => {} }))
)

/**
 * The same, where instances share what one of them sees of the cluster: cluster → informers of one → Redis → cache of each.
 * Fails with a `SettingError` where Redis cannot be spoken to as the options want; a Redis that is not there is waited for.
 */
export const layerShared = (options: ClusterOptions, role: Role, shared: SharedCacheOptions) =>
  Layer.unwrap(
    Effect.gen(function* () {
      // Who shares nothing does not load what it takes.
      const SharedCache = yield* Effect.promise(() => import("./shared/SharedCache.ts"))
      yield* SharedCache.checkCaFile(shared)
      const cache =
        role === "server"
          ? ClusterCache.layer(SharedCache.events(shared), shared.namespaces)
          : Layer.unwrap(
              Effect.map(KubeWatch, ({ events }) =>
                ClusterCache.layer(SharedCache.eventsOf(shared, events), shared.namespaces)
              )
            ).pipe(Layer.provide(KubeWatch.layerOptions(options)), Layer.provide(untimed))
      return CacheMetrics.layerGauges.pipe(Layer.provideMerge(cache), Layer.merge(requests(options)), overCluster)
    })
  )
