/**
 * The names by which clients and the cluster call things. A value of these types has been checked once, at the boundary.
 */
import { Schema } from "effect"

const label = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"

/** A namespace's name: a DNS-1123 label of 1-63 characters, as Kubernetes requires of namespaces. */
export const NamespaceName = Schema.String.check(
  Schema.isMaxLength(63),
  Schema.isPattern(new RegExp(`^${label}$`))
).pipe(Schema.brand("NamespaceName"))
export type NamespaceName = typeof NamespaceName.Type

/** A deployment's name: a DNS-1123 subdomain of 1-253 characters, as Kubernetes requires of deployments. */
export const DeploymentName = Schema.String.check(
  Schema.isMaxLength(253),
  Schema.isPattern(new RegExp(`^${label}(?:\\.${label})*$`))
).pipe(Schema.brand("DeploymentName"))
export type DeploymentName = typeof DeploymentName.Type

/** The word that means "all" in a path. Being upper case, it can be no Kubernetes name. */
export const Any = Schema.Literal("ANY")
export type Any = typeof Any.Type
