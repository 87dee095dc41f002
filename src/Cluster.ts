import { Effect, Layer } from "effect"
import { ClusterCache } from "./cache/ClusterCache.ts"
import { EventRecorder } from "./domain/EventRecorder.ts"
import * as KubeAccessReviewer from "./kube/KubeAccessReviewer.ts"
import { KubeApi } from "./kube/KubeApi.ts"
import * as KubeEventRecorder from "./kube/KubeEventRecorder.ts"
import * as KubeHttp from "./kube/KubeHttp.ts"
import * as KubeScaler from "./kube/KubeScaler.ts"
import { KubeWatch, type KubeWatchOptions } from "./kube/KubeWatch.ts"
import * as NamespacedScaler from "./kube/NamespacedScaler.ts"
import * as CacheMetrics from "./observability/CacheMetrics.ts"

/** How the cluster is followed and written to. */
export interface ClusterOptions extends KubeWatchOptions {
  /** Whether each accepted write is recorded as an Event on its deployment. Default: false. */
  readonly auditEvents?: boolean | undefined
}

/**
 * Cluster → informers → cache (with its gauges), and the way back for writes and for questions of access, over whatever
 * cluster the `KubeConfig` names; with `options.namespaces`, over those alone.
 */
export const layerOptions = (options: ClusterOptions) => {
  const { auditEvents, namespaces } = options
  return CacheMetrics.layerGauges.pipe(
    Layer.provideMerge(Layer.unwrap(Effect.map(KubeWatch, ({ events }) => ClusterCache.layer(events, namespaces)))),
    Layer.provide(KubeWatch.layerOptions(options)),
    Layer.merge(
      namespaces === undefined ? KubeScaler.layer : Layer.provide(NamespacedScaler.layer(namespaces), KubeScaler.layer)
    ),
    Layer.merge(KubeAccessReviewer.layer),
    Layer.merge(auditEvents === true ? KubeEventRecorder.layer : EventRecorder.layerNone),
    Layer.provide(KubeApi.layer),
    Layer.provide(KubeHttp.layer)
  )
}
