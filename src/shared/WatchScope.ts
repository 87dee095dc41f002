/**
 * A scope is what one watch tells of, by a name: `namespaces`, `deployments`, or `deployments/<namespace>` where each
 * namespace is watched by itself.
 */
import { type ClusterEvent, namespaceOf, resourceOf, type WatchedResource } from "../model/ClusterEvent.ts"
import type { NamespaceName } from "../contract/Names.ts"

/** One scope. */
export interface Scope {
  readonly name: string
  readonly resource: WatchedResource
  readonly namespace?: NamespaceName | undefined
}

const scope = (resource: WatchedResource, namespace?: NamespaceName): Scope => ({
  name: namespace === undefined ? resource : `${resource}/${namespace}`,
  resource,
  ...(namespace === undefined ? {} : { namespace })
})

/** The scopes of the whole cluster, or of these namespaces. */
export const scopesOf = (namespaces: ReadonlyArray<NamespaceName> | undefined): ReadonlyArray<Scope> => [
  scope("namespaces"),
  ...(namespaces === undefined
    ? [scope("deployments")]
    : namespaces.map((namespace) => scope("deployments", namespace)))
]

/** The name of the scope that an event is of; `single`: whether namespaces are watched each by itself. */
export const scopeNameOf = (event: ClusterEvent, single: boolean): string =>
  scope(resourceOf(event), single ? namespaceOf(event) : undefined).name
