import { createHash } from "node:crypto"
import type { Identity } from "../../src/model/ClusterIdentity.ts"

/** The endpoint of a cluster of this name. */
export const endpointOf = (name: string) => createHash("sha256").update(name).digest("hex").slice(0, 32)

/** The identity of a cluster of this name. */
export const identityOf = (name: string): Identity & { readonly uid: string } => ({
  uid: `uid-of-${name}`,
  endpoint: endpointOf(name)
})

/** The cluster that instances serve if a test names no other. */
export const own = identityOf("own")
export const other = identityOf("other")
