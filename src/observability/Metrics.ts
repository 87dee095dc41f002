/** All metrics of an instance, as layers: the observers of what is counted, and the gauges of what there is. */
import { Effect, Layer } from "effect"
import { RequestObserver } from "../api/RequestObserver.ts"
import { CacheObserver } from "../cache/ClusterCache.ts"
import { InformerObserver } from "../kube/InformerObserver.ts"
import * as CacheMetrics from "./CacheMetrics.ts"
import * as InformerMetrics from "./InformerMetrics.ts"
import * as ProcessMetrics from "./ProcessMetrics.ts"
import * as RequestMetrics from "./RequestMetrics.ts"

/** The observers; to be provided to the server, the cache and the informers. */
export const layerObservers = Layer.mergeAll(
  Layer.effect(RequestObserver, RequestMetrics.make),
  Layer.unwrap(
    Effect.gen(function* () {
      const informer = yield* InformerMetrics.make
      const { applied, emitting } = yield* CacheMetrics.makeObserver
      return Layer.mergeAll(
        Layer.succeed(InformerObserver, { ...informer, emitting }),
        Layer.succeed(CacheObserver, { applied })
      )
    })
  )
)

/** Figures of the process. */
export const layerProcess: Layer.Layer<never> = Layer.effectDiscard(ProcessMetrics.register)
