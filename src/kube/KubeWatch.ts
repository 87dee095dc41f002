import { Context, Effect, Layer, Stream } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import type { NamespaceName } from "../contract/Names.ts"
import * as Informer from "./Informer.ts"
import { KubeApi } from "./KubeApi.ts"
import { deployments, deploymentsIn, namespaces } from "./KubeWire.ts"
import * as NamespacePoll from "./NamespacePoll.ts"

/** What is watched, and how. */
export interface KubeWatchOptions extends Informer.InformerOptions, NamespacePoll.NamespacePollOptions {
  /** Only these namespaces, each by a watch of its own, which a Role in it permits; absent, the whole cluster. */
  readonly namespaces?: ReadonlyArray<NamespaceName> | undefined
}

/** What the cluster tells of its namespaces and deployments, in one stream. */
export class KubeWatch extends Context.Service<
  KubeWatch,
  {
    /** Neither fails nor ends. Each run of it lists and watches anew, and stops when its scope closes. */
    readonly events: Stream.Stream<ClusterEvent>
  }
>()("kube-resource-api/kube/KubeWatch") {
  /** From the cluster of `KubeApi`, by informers with these options. */
  static readonly layerOptions = (options: KubeWatchOptions): Layer.Layer<KubeWatch, never, KubeApi> =>
    Layer.effect(
      KubeWatch,
      Effect.gen(function* () {
        const api = yield* KubeApi
        const events =
          options.namespaces === undefined
            ? Stream.merge(Informer.make(namespaces, options), Informer.make(deployments, options))
            : Stream.mergeAll(
                [
                  NamespacePoll.make(options.namespaces, options),
                  ...options.namespaces.map((namespace) => Informer.make(deploymentsIn(namespace), options))
                ],
                { concurrency: "unbounded" }
              )
        return KubeWatch.of({ events: Stream.provideService(events, KubeApi, api) })
      })
    )

  /** From the cluster of `KubeApi`. */
  static readonly layer: Layer.Layer<KubeWatch, never, KubeApi> = KubeWatch.layerOptions({})

  /** Exactly these events, from no cluster. */
  static readonly layerEvents = (events: Stream.Stream<ClusterEvent>): Layer.Layer<KubeWatch> =>
    Layer.succeed(KubeWatch, { events })
}
