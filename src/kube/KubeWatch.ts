import { Context, Effect, Layer, Stream } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import type { NamespaceName } from "../contract/Names.ts"
import * as Informer from "./Informer.ts"
import { KubeApi } from "./KubeApi.ts"
import { deployments, deploymentsIn, namespaces } from "./wire/ResourceKind.ts"
import * as NamespacePoll from "./NamespacePoll.ts"

/** Options of the watch. */
export interface KubeWatchOptions extends Informer.InformerOptions, NamespacePoll.NamespacePollOptions {
  /**
   * Limits the service to these namespaces, each with a watch that a Role in it permits. Default: the whole cluster.
   */
  readonly namespaces?: ReadonlyArray<NamespaceName> | undefined
}

/** The events of namespaces and deployments. */
export class KubeWatch extends Context.Service<
  KubeWatch,
  {
    /** Neither fails nor ends. Each run lists and watches from the beginning, until its scope closes. */
    readonly events: Stream.Stream<ClusterEvent>
  }
>()("kube-resource-api/kube/KubeWatch") {}

/** Informers over `KubeApi` with options. */
export const layerOptions = (options: KubeWatchOptions): Layer.Layer<KubeWatch, never, KubeApi> =>
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

/** Informers over `KubeApi`. */
export const layer: Layer.Layer<KubeWatch, never, KubeApi> = layerOptions({})

/** The given events, without a cluster. */
export const layerEvents = (events: Stream.Stream<ClusterEvent>): Layer.Layer<KubeWatch> =>
  Layer.succeed(KubeWatch, { events })
