import { Effect, Layer } from "effect"
import { ClusterCache } from "./cache/ClusterCache.ts"
import { EventRecorder } from "./domain/EventRecorder.ts"
import type { InformerOptions } from "./kube/Informer.ts"
import * as KubeAccessReviewer from "./kube/KubeAccessReviewer.ts"
import { KubeApi } from "./kube/KubeApi.ts"
import * as KubeEventRecorder from "./kube/KubeEventRecorder.ts"
import * as KubeHttp from "./kube/KubeHttp.ts"
import * as KubeScaler from "./kube/KubeScaler.ts"
import { KubeWatch } from "./kube/KubeWatch.ts"
import * as CacheMetrics from "./observability/CacheMetrics.ts"

/** How the cluster is followed and written to. */
export interface ClusterOptions extends InformerOptions {
  /** Whether each accepted write is recorded as an Event on its deployment. Default: false. */
  readonly auditEvents?: boolean | undefined
}

/**
 * Cluster → informers → cache (with its gauges), and the way back for writes and for questions of access, over whatever
 * cluster the `KubeConfig` names.
 */
export const layerOptions = (options: ClusterOptions) =>
  CacheMetrics.layerGauges.pipe(
    Layer.provideMerge(Layer.unwrap(Effect.map(KubeWatch, ({ events }) => ClusterCache.layer(events)))),
    Layer.provide(KubeWatch.layerOptions(options)),
    Layer.merge(KubeScaler.layer),
    Layer.merge(KubeAccessReviewer.layer),
    Layer.merge(options.auditEvents === true ? KubeEventRecorder.layer : EventRecorder.layerNone),
    Layer.provide(KubeApi.layer),
    Layer.provide(KubeHttp.layer)
  )
