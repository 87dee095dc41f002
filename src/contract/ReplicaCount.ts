import { Schema } from "effect"

/** The largest replica count Kubernetes can hold: `spec.replicas` is an int32. */
export const maxReplicaCount = 2_147_483_647

/** A deployment's desired number of pods, `spec.replicas`: an integer 0..2147483647. */
export const ReplicaCount = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: maxReplicaCount })).pipe(
  Schema.brand("ReplicaCount")
)
export type ReplicaCount = typeof ReplicaCount.Type
