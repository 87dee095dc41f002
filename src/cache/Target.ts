import type { Any, DeploymentName, NamespaceName } from "../contract/Names.ts"

/** The part of the cluster that a read shows: the namespaces, names of deployments, or replica counts. */
export type Target =
  | { readonly _tag: "Namespaces" }
  | { readonly _tag: "Names"; readonly namespace: NamespaceName | Any }
  | { readonly _tag: "Counts"; readonly namespace: NamespaceName | Any; readonly deployment: DeploymentName | Any }
