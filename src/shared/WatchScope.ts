/**
 * A watch scope is what one watch covers. Its name is `namespaces`, `deployments`, or, if each namespace is watched by
 * itself, `deployments/<namespace>`.
 */
import { type ClusterEvent, namespaceOf, resourceOf, type WatchedResource } from "../model/ClusterEvent.ts"
import type { NamespaceName } from "../contract/Names.ts"

export interface WatchScope {
  readonly name: string
  readonly resource: WatchedResource
  readonly namespace?: NamespaceName | undefined
}

const watchScope = (resource: WatchedResource, namespace?: NamespaceName): WatchScope => ({
  name: namespace === undefined ? resource : `${resource}/${namespace}`,
  resource,
  ...(namespace === undefined ? {} : { namespace })
})

/** The scopes of these namespaces; by default, of the whole cluster. */
export const watchScopesOf = (namespaces: ReadonlyArray<NamespaceName> | undefined): ReadonlyArray<WatchScope> => [
  watchScope("namespaces"),
  ...(namespaces === undefined
    ? [watchScope("deployments")]
    : namespaces.map((namespace) => watchScope("deployments", namespace)))
]

/** The name of the scope that an event belongs to. `perNamespace`: each namespace is watched by itself. */
export const watchScopeNameOf = (event: ClusterEvent, perNamespace: boolean): string =>
  watchScope(resourceOf(event), perNamespace ? namespaceOf(event) : undefined).name
