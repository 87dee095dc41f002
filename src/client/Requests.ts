/** The requests of the reads, with the parameters that the contract declares. */
import type { DeploymentName, NamespaceName } from "../contract/Names.ts"

/** Names a namespace. */
export interface InNamespace {
  readonly params: { readonly namespace: NamespaceName }
}

/** Names a deployment in any namespace. */
export interface Named {
  readonly params: { readonly deployment: DeploymentName }
}

/** Names a deployment. */
export interface OfDeployment {
  readonly params: { readonly namespace: NamespaceName; readonly deployment: DeploymentName }
}
