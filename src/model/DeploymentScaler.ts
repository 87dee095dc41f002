import { Context, type Effect } from "effect"
import type { ClusterUnavailable, NotFound, Unauthorized } from "../contract/Problems.ts"
import type { DeploymentRef, ScaledDeployment } from "./ReadModel.ts"
import type { ReplicaCount } from "../contract/Names.ts"

/**
 * Writes a deployment's replica count to the cluster. Succeeds with the deployment as the cluster accepted it.
 *
 * Fails with `NotFound` (the cluster has no such deployment), `Unauthorized` (the cluster refused this service) or
 * `ClusterUnavailable` (unreachable, overloaded, failing).
 *
 * Its time limits hold also where it cannot be interrupted: once sent, a write is waited for until what became of it is
 * known.
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
