import { Context, type Effect } from "effect"
import type { ClusterUnavailable, NotFound, Unauthorized } from "../contract/Problems.ts"
import type { DeploymentRef, ScaledDeployment } from "./ReadModel.ts"
import type { ReplicaCount } from "../contract/Names.ts"

/**
 * Writes a deployment's replica count to the cluster. Succeeds with the deployment as the cluster accepted it.
 *
 * Fails with `NotFound` (no such deployment), `Unauthorized` (the cluster rejects the write) or `ClusterUnavailable`
 * (unreachable, overloaded, failing).
 *
 * A write is uninterruptible, so that its outcome is known, and has a timeout nevertheless.
 */
export class DeploymentScaler extends Context.Service<
  DeploymentScaler,
  {
    readonly scale: (
      ref: DeploymentRef,
      replicas: ReplicaCount
    ) => Effect.Effect<ScaledDeployment, NotFound | Unauthorized | ClusterUnavailable>
  }
>()("kube-resource-api/model/DeploymentScaler") {}
