import { Schema } from "effect"
import { Any, DeploymentName, NamespaceName } from "../contract/Names.ts"
import * as CachedRead from "./CachedRead.ts"

/** A request target that is one of endpoints 1-3, plainly spelled: what it reads, its path template and its parameters. */
export interface ReadTarget {
  readonly read: CachedRead.CachedRead
  readonly route: string
  readonly params: Readonly<Record<string, string>>
}

const isNamespace = Schema.is(Schema.Union([Any, NamespaceName]))
const isDeployment = Schema.is(Schema.Union([Any, DeploymentName]))

const namespaces: ReadTarget = { read: CachedRead.namespaces, route: "/namespaces", params: {} }

/**
 * What a request target reads; `undefined` where it is no read, or not spelled without a query, an escape or any other
 * detour: the routes tell what that is.
 */
export const parse = (target: string): ReadTarget | undefined => {
  if (target === "/namespaces") return namespaces
  const [root, collection, namespace, within, deployment, what, ...more] = target.split("/")
  if (root !== "" || collection !== "namespaces" || within !== "deployments" || !isNamespace(namespace))
    return undefined
  if (deployment === undefined) {
    return {
      read: CachedRead.deployments(namespace),
      route: "/namespaces/:namespace/deployments",
      params: { namespace }
    }
  }
  if (what !== "replica_count" || more.length > 0 || !isDeployment(deployment)) return undefined
  return {
    read: CachedRead.replicaCounts(namespace, deployment),
    route: "/namespaces/:namespace/deployments/:deployment/replica_count",
    params: { namespace, deployment }
  }
}

/** Some thousand reads are asked for again and again; of others, this many are remembered for a while. */
const mostRemembered = 8192

/** `parse`, remembering what it found. */
export const remembering = (): ((target: string) => ReadTarget | undefined) => {
  let recent = new Map<string, ReadTarget>()
  let older = new Map<string, ReadTarget>()
  return (target) => {
    const known = recent.get(target)
    if (known !== undefined) return known
    const found = older.get(target) ?? parse(target)
    if (found === undefined) return undefined
    if (recent.size >= mostRemembered) {
      older = recent
      recent = new Map()
    }
    recent.set(target, found)
    return found
  }
}
