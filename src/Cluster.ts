import { Effect, Layer } from "effect"
import { ClusterCache } from "./cache/ClusterCache.ts"
import type { InformerOptions } from "./kube/Informer.ts"
import { KubeApi } from "./kube/KubeApi.ts"
import * as KubeHttp from "./kube/KubeHttp.ts"
import * as KubeScaler from "./kube/KubeScaler.ts"
import { KubeWatch } from "./kube/KubeWatch.ts"

/** Cluster → informers → cache, and the way back for writes, over whatever cluster the `KubeConfig` names. */
export const layerOptions = (options: InformerOptions) =>
  Layer.unwrap(Effect.map(KubeWatch, ({ events }) => ClusterCache.layer(events))).pipe(
    Layer.provide(KubeWatch.layerOptions(options)),
    Layer.merge(KubeScaler.layer),
    Layer.provide(KubeApi.layer),
    Layer.provide(KubeHttp.layer)
  )

/** The same, with the informers' own defaults. */
export const layer = layerOptions({})
