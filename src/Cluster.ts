import { Effect, Layer } from "effect"
import { ClusterCache } from "./cache/ClusterCache.ts"
import { KubeApi } from "./kube/KubeApi.ts"
import * as KubeHttp from "./kube/KubeHttp.ts"
import * as KubeScaler from "./kube/KubeScaler.ts"
import { KubeWatch } from "./kube/KubeWatch.ts"

/** Cluster → informers → cache, and the way back for writes, over whatever cluster the `KubeConfig` names. */
export const layer = Layer.unwrap(Effect.map(KubeWatch, ({ events }) => ClusterCache.layer(events))).pipe(
  Layer.provide(KubeWatch.layer),
  Layer.merge(KubeScaler.layer),
  Layer.provide(KubeApi.layer),
  Layer.provide(KubeHttp.layer)
)
