import { Context, Effect, Layer, Stream } from "effect"
import type { ClusterEvent } from "../domain/ClusterEvent.ts"
import * as Informer from "./Informer.ts"
import { KubeApi } from "./KubeApi.ts"
import { deployments, namespaces } from "./KubeWire.ts"

/** What the cluster tells: the namespaces and the deployments, each as an informer gives them, in one stream. */
export class KubeWatch extends Context.Service<
  KubeWatch,
  {
    /** Neither fails nor ends. Each run of it lists and watches anew, and stops when its scope closes. */
    readonly events: Stream.Stream<ClusterEvent>
  }
>()("kube-resource-api/kube/KubeWatch") {
  /** From the cluster of `KubeApi`, by informers with these options. */
  static readonly layerOptions = (options: Informer.InformerOptions): Layer.Layer<KubeWatch, never, KubeApi> =>
    Layer.effect(
      KubeWatch,
      Effect.gen(function* () {
        const api = yield* KubeApi
        const events = Stream.merge(Informer.make(namespaces, options), Informer.make(deployments, options))
        return KubeWatch.of({ events: Stream.provideService(events, KubeApi, api) })
      })
    )

  /** From the cluster of `KubeApi`. */
  static readonly layer: Layer.Layer<KubeWatch, never, KubeApi> = KubeWatch.layerOptions({})

  /** Exactly these events, from no cluster. */
  static readonly layerEvents = (events: Stream.Stream<ClusterEvent>): Layer.Layer<KubeWatch> =>
    Layer.succeed(KubeWatch, { events })
}
