/**
 * Subscriptions to targets: after a change of the view, the subscribers of the targets whose entity tag has changed are
 * notified, and no others. A change looks up its own targets, so its cost does not depend on the number of subscriptions.
 */
import type { DeploymentName, NamespaceName } from "../contract/Names.ts"
import { type ClusterEvent } from "../model/ClusterEvent.ts"
import type { DeploymentRef } from "../model/ReadModel.ts"
import type { ClusterView } from "./ClusterView.ts"
import type { Target } from "./Target.ts"
import * as ViewReads from "./ViewReads.ts"

/** What changed: namespaces that were created or deleted, and deployments. `undefined`: anything. */
export type Changed =
  { readonly namespaces: ReadonlySet<NamespaceName>; readonly deployments: ReadonlyArray<DeploymentRef> } | undefined

/** Called after the tag of the target has changed. It must not throw, and must be brief. */
export type Subscriber = (changed: Changed) => void

/** A target, and its entity tag in a view; `undefined` if it does not exist. */
export interface TaggedTarget {
  readonly target: Target
  readonly tag: (view: ClusterView) => string | undefined
}

interface Node extends TaggedTarget {
  readonly subscribers: Set<Subscriber>
  etag: string | undefined
}

// No name contains a slash, and none is upper case.
const keyOf = (target: Target): string => {
  switch (target._tag) {
    case "Namespaces":
      return "NAMESPACES"
    case "Names":
      return target.namespace
    case "Counts":
      return countsKey(target.namespace, target.deployment)
  }
}

const countsKey = (namespace: string, deployment: string): string => `${namespace}/${deployment}`

/** The subscriptions to a changing view. */
export class Subscriptions {
  private readonly nodes = new Map<string, Node>()
  private readonly namespaces = new Set<NamespaceName>()
  private readonly deployments = new Map<string, DeploymentRef>()
  private isReplaced = false

  /** The number of targets with subscribers. */
  get size(): number {
    return this.nodes.size
  }

  /** Subscribes to a target of the current `view`. The result ends the subscription. */
  add(view: ClusterView, { tag, target }: TaggedTarget, subscriber: Subscriber): () => void {
    const key = keyOf(target)
    const known = this.nodes.get(key)
    const node = known ?? { target, tag, subscribers: new Set(), etag: tag(view) }
    if (known === undefined) this.nodes.set(key, node)
    node.subscribers.add(subscriber)
    return () => {
      node.subscribers.delete(subscriber)
      if (node.subscribers.size === 0 && this.nodes.get(key) === node) this.nodes.delete(key)
    }
  }

  /** Notes what an event may have changed. */
  note(event: ClusterEvent): void {
    if (this.nodes.size === 0) return
    switch (event._tag) {
      case "NamespacesReplaced":
      case "DeploymentsReplaced":
        this.isReplaced = true
        return
      case "NamespaceApplied":
        this.namespaces.add(event.object.name)
        return
      case "NamespaceDeleted":
        this.namespaces.add(event.name)
        return
      case "DeploymentApplied":
        this.noteDeployment(event.object)
        return
      case "DeploymentDeleted":
        this.noteDeployment(event.ref)
        return
      case "Heard":
        // The end of a round of a poll may hide a namespace.
        this.isReplaced ||= event.resource === "namespaces" && event.heardAt === undefined
        return
      case "Lost":
        return
    }
  }

  /** Notes an accepted write. It may show its namespace. */
  noteWrite(ref: DeploymentRef): void {
    if (this.nodes.size === 0) return
    this.namespaces.add(ref.namespace)
    this.noteDeployment(ref)
  }

  /** Notifies the subscribers of noted targets whose tag differs between the views. */
  settle(before: ClusterView, after: ClusterView): void {
    if (before !== after) {
      if (this.isReplaced) this.notify(this.nodes.values(), after, undefined)
      else if (this.namespaces.size > 0 || this.deployments.size > 0) this.notifyOfNoted(before, after)
    }
    this.isReplaced = false
    this.namespaces.clear()
    this.deployments.clear()
  }

  private noteDeployment({ name, namespace }: DeploymentRef): void {
    this.deployments.set(countsKey(namespace, name), { namespace, name })
  }

  private notifyOfNoted(before: ClusterView, after: ClusterView): void {
    const namespaces = new Set<NamespaceName>()
    for (const name of this.namespaces) {
      if (ViewReads.hasNamespace(before, name) !== ViewReads.hasNamespace(after, name)) namespaces.add(name)
    }
    if (namespaces.size > 0)
      return this.notify(this.nodes.values(), after, this.withContents(namespaces, before, after))
    const deployments: Array<DeploymentRef> = []
    for (const ref of this.deployments.values()) if (hasChanged(before, after, ref)) deployments.push(ref)
    if (deployments.length > 0) this.notify(this.nodesOf(deployments), after, { namespaces, deployments })
  }

  /** The change of namespaces that were created or deleted, with their deployments. */
  private withContents(namespaces: ReadonlySet<NamespaceName>, before: ClusterView, after: ClusterView): Changed {
    const deployments = new Map(this.deployments)
    for (const view of [before, after]) {
      for (const name of namespaces) {
        for (const entry of view.namespaces.get(name)?.deployments ?? []) {
          deployments.set(countsKey(entry.namespace, entry.name), { namespace: entry.namespace, name: entry.name })
        }
      }
    }
    return { namespaces, deployments: [...deployments.values()] }
  }

  private nodesOf(deployments: ReadonlyArray<DeploymentRef>): ReadonlySet<Node> {
    const nodes = new Set<Node>()
    const add = (key: string) => {
      const node = this.nodes.get(key)
      if (node !== undefined) nodes.add(node)
    }
    for (const { name, namespace } of deployments) {
      add(countsKey(namespace, name))
      add(countsKey("ANY", name))
      add(countsKey(namespace, "ANY"))
      add(namespace)
    }
    add(countsKey("ANY", "ANY"))
    add("ANY")
    return nodes
  }

  private notify(nodes: Iterable<Node>, view: ClusterView, changed: Changed): void {
    for (const node of nodes) {
      const etag = node.tag(view)
      if (etag === node.etag) continue
      node.etag = etag
      const own = changed && changeOf(node.target, changed)
      for (const subscriber of node.subscribers) subscriber(own)
    }
  }
}

const hasChanged = (before: ClusterView, after: ClusterView, { name, namespace }: DeploymentRef): boolean =>
  ViewReads.replicaCountTag(before, namespace, name) !== ViewReads.replicaCountTag(after, namespace, name)

/** The part of a change that belongs to a target. */
const changeOf = (target: Target, changed: NonNullable<Changed>): Changed => {
  if (target._tag === "Namespaces") return { namespaces: changed.namespaces, deployments: [] }
  const { namespace } = target
  const deployment: DeploymentName | "ANY" = target._tag === "Counts" ? target.deployment : "ANY"
  if (namespace === "ANY" && deployment === "ANY") return changed
  return {
    namespaces: changed.namespaces,
    deployments: changed.deployments.filter(
      (ref) => (namespace === "ANY" || ref.namespace === namespace) && (deployment === "ANY" || ref.name === deployment)
    )
  }
}
