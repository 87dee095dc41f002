/** The names and counts that clients and the cluster use. A value of these types was checked once, at the boundary. */
import { Schema, SchemaTransformation } from "effect"

const label = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"

// JSON Schema's patterns are Unicode patterns: Effect leaves any other out of the OpenAPI document.
const pattern = (source: string): RegExp => new RegExp(source, "u")

/** A namespace's name: a DNS-1123 label of 1-63 characters, as Kubernetes requires of namespaces. */
export const NamespaceName = Schema.String.check(Schema.isMaxLength(63), Schema.isPattern(pattern(`^${label}$`))).pipe(
  Schema.brand("NamespaceName")
)
export type NamespaceName = typeof NamespaceName.Type

/** A deployment's name: a DNS-1123 subdomain of 1-253 characters, as Kubernetes requires of deployments. */
export const DeploymentName = Schema.String.check(
  Schema.isMaxLength(253),
  Schema.isPattern(pattern(`^${label}(?:\\.${label})*$`))
).pipe(Schema.brand("DeploymentName"))
export type DeploymentName = typeof DeploymentName.Type

/** The word that means "all" in a path. Kubernetes names are lower case, so none of them is `ANY`. */
export const Any = Schema.Literal("ANY")
export type Any = typeof Any.Type

/** The largest replica count Kubernetes can hold: `spec.replicas` is an int32. */
export const maxReplicaCount = 2_147_483_647

/** A deployment's desired number of pods, `spec.replicas`: an integer 0..2147483647. */
export const ReplicaCount = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: maxReplicaCount })).pipe(
  Schema.brand("ReplicaCount")
)
export type ReplicaCount = typeof ReplicaCount.Type

/** A replica count as a path holds it: decimal, no sign, no leading zero, nothing else. */
export const ReplicaCountText = Schema.String.check(
  Schema.isPattern(/^(?:0|[1-9][0-9]{0,9})$/u, {
    expected: `a decimal integer 0..${maxReplicaCount}`,
    description: "The desired replica count: a decimal integer 0..2147483647 without sign or leading zero.",
    examples: ["12"]
  })
).pipe(Schema.decodeTo(ReplicaCount, SchemaTransformation.transform({ decode: Number, encode: String })))
