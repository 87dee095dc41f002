import { Context, Effect, Layer } from "effect"
import type { DeploymentRef } from "./ReadModel.ts"
import type { ReplicaCount } from "../contract/Names.ts"
import type { ResourceVersion } from "./ResourceVersion.ts"

/** An accepted write of a replica count. */
export interface Scaling {
  readonly ref: DeploymentRef
  /** The uid of the deployment, if the cluster sent it. */
  readonly uid: string | undefined
  readonly resourceVersion: ResourceVersion
  /** The previous count, if known. */
  readonly from: ReplicaCount | undefined
  readonly to: ReplicaCount
  readonly user: string
  readonly groups: ReadonlyArray<string>
  readonly requestId: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

/**
 * Records scalings as Kubernetes Events on the deployments. Recording happens in the background: it never fails, and
 * never delays a write.
 */
export class EventRecorder extends Context.Service<
  EventRecorder,
  { readonly record: (scaling: Scaling) => Effect.Effect<void> }
>()("kube-resource-api/model/EventRecorder") {}

/** Records nothing. */
export const layerNone: Layer.Layer<EventRecorder> = Layer.succeed(EventRecorder, { record: () => Effect.void })
