import type { ClusterEvent, WatchedResource } from "../model/ClusterEvent.ts"
import type { NamespaceName } from "../contract/Names.ts"

/** Evidence of an event about its watch. `live: undefined`: none, as with a list. */
export interface WatchSign {
  readonly resource: WatchedResource
  readonly namespace?: NamespaceName | undefined
  readonly live: boolean | undefined
  readonly agoMillis?: number | undefined
}

/** The evidence of an event about its watch. */
export const sign = (event: ClusterEvent): WatchSign => {
  switch (event._tag) {
    case "NamespacesReplaced":
      return { resource: "namespaces", live: undefined }
    case "DeploymentsReplaced":
      return { resource: "deployments", namespace: event.namespace, live: undefined }
    case "NamespaceApplied":
    case "NamespaceDeleted":
      return { resource: "namespaces", live: true }
    case "DeploymentApplied":
      return { resource: "deployments", namespace: event.object.namespace, live: true }
    case "DeploymentDeleted":
      return { resource: "deployments", namespace: event.ref.namespace, live: true }
    case "Heard":
      return { resource: event.resource, namespace: event.namespace, live: true, agoMillis: event.agoMillis }
    case "Lost":
      return { resource: event.resource, namespace: event.namespace, live: false, agoMillis: event.agoMillis }
  }
}

interface Watch {
  live: boolean
  heardAt: number
}

// No name contains a slash.
const keyOf = (resource: WatchedResource, namespace: NamespaceName | undefined): string =>
  namespace === undefined ? resource : `${resource}/${namespace}`

/** The age of the view, from the time at which each watch was last heard. Times are milliseconds since the epoch. */
export class Freshness {
  private readonly watches: ReadonlyMap<string, Watch>
  private readonly isPerNamespace: boolean
  /** When the lost watch that has been silent longest was last heard; `undefined` while all watches are live. */
  private silentSince: number | undefined

  /**
   * No watch is live yet. `namespaces`: the namespaces with a watch each; absent, one watch covers the whole cluster.
   */
  constructor(namespaces: ReadonlyArray<NamespaceName> | undefined, now: number) {
    const deployments = (namespaces ?? [undefined]).map((namespace) => keyOf("deployments", namespace))
    this.watches = new Map(
      [keyOf("namespaces", undefined), ...deployments].map((key) => [key, { live: false, heardAt: now }])
    )
    this.isPerNamespace = namespaces !== undefined
    this.silentSince = now
  }

  /** Records the evidence of an event about its watch. */
  note(event: ClusterEvent, now: number): void {
    const { agoMillis, live, namespace, resource } = sign(event)
    const watch = this.watches.get(keyOf(resource, this.isPerNamespace ? namespace : undefined))
    if (watch === undefined) return
    const staysLive = watch.live && live !== false
    if (live !== undefined) watch.live = live
    if (agoMillis !== undefined) watch.heardAt = now - agoMillis
    else if (live !== false) watch.heardAt = now
    if (staysLive) return
    const lost = Array.from(this.watches.values()).filter((one) => !one.live)
    this.silentSince = lost.length === 0 ? undefined : Math.min(...lost.map(({ heardAt }) => heardAt))
  }

  /** Whole seconds since the cluster was last heard: 0 while all watches are live. */
  age(now: number): number {
    return this.silentSince === undefined ? 0 : Math.max(0, Math.floor((now - this.silentSince) / 1000))
  }
}
