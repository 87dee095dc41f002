import { Context, type Effect } from "effect"
import type { ClusterUnavailable, NotFound, PreconditionFailed, Unauthorized } from "../contract/Problems.ts"
import type { DeploymentRef, ScaledDeployment } from "./ReadModel.ts"
import type { ReplicaCount } from "../contract/Names.ts"

/** The conditions of a write. */
export interface ScaleOptions {
  /** The desired count that the deployment must have; undefined: any. */
  readonly ifCount: ReplicaCount | undefined
  /** Whether the cluster only validates the write. The result is the deployment that the write would produce. */
  readonly dryRun: boolean
}

/** A write without conditions. */
export const unconditional: ScaleOptions = { ifCount: undefined, dryRun: false }

/**
 * The deployment after a write. `alreadySet`: the deployment did not have `ifCount` but already had the count to set, as
 * after an earlier attempt of the same write. Nothing was written.
 */
export interface ScaleOutcome extends ScaledDeployment {
  readonly alreadySet?: true
}

/** The errors of a write. */
export type ScaleError = NotFound | PreconditionFailed | Unauthorized | ClusterUnavailable

/**
 * Writes a deployment's replica count to the cluster. Succeeds with the deployment as the cluster accepted it.
 *
 * Fails with `NotFound` (no such deployment), `PreconditionFailed` (it has neither `ifCount` nor the count to set),
 * `Unauthorized` (the cluster rejects the write) or `ClusterUnavailable` (unreachable, overloaded, failing).
 *
 * A write is uninterruptible, so that its outcome is known, and has a timeout nevertheless.
 */
export class DeploymentScaler extends Context.Service<
  DeploymentScaler,
  {
    readonly scale: (
      ref: DeploymentRef,
      replicas: ReplicaCount,
      options: ScaleOptions
    ) => Effect.Effect<ScaleOutcome, ScaleError>
  }
>()("kube-resource-api/model/DeploymentScaler") {}
