import { Context, Effect, Layer } from "effect"
import type { DeploymentRef } from "./ReadModel.ts"
import type { ReplicaCount } from "../contract/Names.ts"
import type { ResourceVersion } from "./ResourceVersion.ts"

/** A replica count that the cluster accepted, and who set it. */
export interface Scaling {
  readonly ref: DeploymentRef
  /** The deployment's identity in the cluster, where the cluster told it. */
  readonly uid: string | undefined
  readonly resourceVersion: ResourceVersion
  /** The count before; `undefined` where it was not known. */
  readonly from: ReplicaCount | undefined
  readonly to: ReplicaCount
  readonly user: string
  readonly groups: ReadonlyArray<string>
  readonly requestId: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

/**
 * Makes scalings visible on the deployments themselves, as client-go's recorder of the same name does. Recording is done
 * in the background: it never fails, and never keeps a write waiting.
 */
export class EventRecorder extends Context.Service<
  EventRecorder,
  { readonly record: (scaling: Scaling) => Effect.Effect<void> }
>()("kube-resource-api/model/EventRecorder") {
  /** Records nothing. */
  static readonly layerNone = Layer.succeed(EventRecorder, { record: () => Effect.void })
}
