import type { ClusterEvent, WatchedResource } from "../model/ClusterEvent.ts"
import type { NamespaceName } from "../contract/Names.ts"

/** Evidence of an event about its watch. `live: undefined`: none, as with a list. */
export interface WatchSign {
  readonly resource: WatchedResource
  readonly namespace?: NamespaceName | undefined
  readonly live: boolean | undefined
  readonly heardAt?: number | undefined
  readonly liveUntil?: number | undefined
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
      return { ...event, live: true }
    case "Lost":
      return { ...event, live: false }
  }
}

interface Watch {
  live: boolean
  heardAt: number
}

// No name contains a slash.
const keyOf = (resource: WatchedResource, namespace: NamespaceName | undefined): string =>
  namespace === undefined ? resource : `${resource}/${namespace}`

/** The age of the view, from the time at which each watch was last heard. Times are `monotonicMillis`. */
export class Freshness {
  private readonly watches: ReadonlyMap<string, Watch>
  private readonly isPerNamespace: boolean
  /** When the lost watch that has been silent longest was last heard; `undefined` while all watches are live. */
  private silentSince: number | undefined
  /** When the liveness that the source reported expires. */
  private liveUntil = Infinity
  /** When the watch that has been silent longest was last heard, live or not; `undefined` until it is computed. */
  private heardLast: number | undefined

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
    const { heardAt, live, liveUntil, namespace, resource } = sign(event)
    const watch = this.watches.get(keyOf(resource, this.isPerNamespace ? namespace : undefined))
    if (watch === undefined) return
    const staysLive = watch.live && live !== false
    if (live !== undefined) watch.live = live
    if (heardAt !== undefined) watch.heardAt = heardAt
    else if (live !== false) watch.heardAt = now
    if (liveUntil !== undefined) this.liveUntil = liveUntil
    this.heardLast = undefined
    if (!staysLive) this.silentSince = oldest(Array.from(this.watches.values()).filter((one) => !one.live))
  }

  /**
   * Whole seconds since the cluster was last heard: 0 while all watches are live. Each read checks whether the reported
   * liveness has expired: after a pause of this process, a read can precede the source's next event.
   */
  age(now: number): number {
    const since = now < this.liveUntil ? this.silentSince : (this.heardLast ??= oldest([...this.watches.values()]))
    return since === undefined ? 0 : Math.max(0, Math.floor((now - since) / 1000))
  }
}

const oldest = (watches: ReadonlyArray<Watch>): number | undefined =>
  watches.length === 0 ? undefined : watches.reduce((at, { heardAt }) => Math.min(at, heardAt), Infinity)
