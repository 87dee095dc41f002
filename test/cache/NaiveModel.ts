import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import type { DeploymentObject } from "../../src/model/ReadModel.ts"
import { isOlder, type ResourceVersion, unversioned } from "../../src/model/ResourceVersion.ts"

interface Past {
  highest: ResourceVersion | undefined
  floor: ResourceVersion | undefined
  readonly deletions: Map<string, ResourceVersion>
}

const past = (version?: ResourceVersion): Past => ({ highest: version, floor: version, deletions: new Map() })

/** The rules of the view over plain maps, rendered at each read. */
export class NaiveModel {
  readonly namespaces = new Map<string, ResourceVersion>()
  readonly deployments = new Map<string, DeploymentObject>()
  private readonly unconfirmed = new Map<string, ResourceVersion>()
  /** The namespaces known only from a write, and the number of poll rounds that may still miss them. */
  private readonly unconfirmedNamespaces = new Map<string, number>()
  private namespacesPast = past()
  private deploymentsPast = past()

  apply(event: ClusterEvent): void {
    switch (event._tag) {
      case "NamespacesReplaced": {
        const wentBack = precedes(event.resourceVersion, this.namespacesPast.highest)
        const items = new Map(event.items.map(({ name, resourceVersion }) => [String(name), resourceVersion]))
        const rounds = new Map(this.unconfirmedNamespaces)
        const before = new Map(this.namespaces)
        this.namespaces.clear()
        this.unconfirmedNamespaces.clear()
        for (const [name, version] of items) this.namespaces.set(name, version)
        for (const [name, version] of before) {
          const left = rounds.get(name)
          const isHeld = event.undecodable?.has(name) === true && !items.has(name)
          const isLater =
            left !== undefined &&
            !wentBack &&
            (event.resourceVersion === unversioned ? !items.has(name) : precedes(event.resourceVersion, version))
          if (!isHeld && !isLater) continue
          const isLowered = wentBack && isOlder(event.resourceVersion, version)
          this.namespaces.set(name, isLowered ? event.resourceVersion : version)
          if (left !== undefined && !isLowered) this.unconfirmedNamespaces.set(name, left)
        }
        this.namespacesPast = past(event.resourceVersion)
        return
      }
      case "DeploymentsReplaced": {
        const wentBack = precedes(event.resourceVersion, this.deploymentsPast.highest)
        const before = new Map(this.deployments)
        const kept: Array<[string, DeploymentObject]> = []
        for (const [key, version] of this.unconfirmed) {
          const object = this.deployments.get(key)
          if (object !== undefined && !wentBack && isOlder(event.resourceVersion, version)) kept.push([key, object])
          else if (event.undecodable?.has(key) !== true) this.unconfirmed.delete(key)
        }
        this.deployments.clear()
        for (const key of event.undecodable ?? []) {
          const object = before.get(key)
          if (object === undefined) continue
          const isLowered = wentBack && isOlder(event.resourceVersion, object.resourceVersion)
          this.deployments.set(key, isLowered ? { ...object, resourceVersion: event.resourceVersion } : object)
          if (isLowered) this.unconfirmed.delete(key)
        }
        for (const item of event.items) {
          const key = `${item.namespace}/${item.name}`
          this.deployments.set(key, item)
          if (!kept.some(([other]) => other === key)) this.unconfirmed.delete(key)
        }
        for (const [key, object] of kept) this.deployments.set(key, object)
        this.deploymentsPast = past(event.resourceVersion)
        return
      }
      case "NamespaceApplied": {
        const { name, resourceVersion } = event.object
        const held = this.namespaces.get(name)
        const confirms = held === resourceVersion && this.unconfirmedNamespaces.has(name)
        if (!confirms && !isNews(held, this.namespacesPast, name, resourceVersion)) return
        this.namespaces.set(name, resourceVersion)
        this.unconfirmedNamespaces.delete(name)
        tell(this.namespacesPast, resourceVersion)
        return
      }
      case "DeploymentApplied": {
        const { namespace, name, resourceVersion } = event.object
        const key = `${namespace}/${name}`
        const held = this.deployments.get(key)?.resourceVersion
        if (held === resourceVersion) {
          if (this.unconfirmed.delete(key)) {
            this.deployments.set(key, event.object)
            tell(this.deploymentsPast, resourceVersion)
          }
          return
        }
        if (!isNews(held, this.deploymentsPast, key, resourceVersion)) return
        this.deployments.set(key, event.object)
        this.unconfirmed.delete(key)
        tell(this.deploymentsPast, resourceVersion)
        return
      }
      case "NamespaceDeleted": {
        if (bury(this.namespaces.get(event.name), this.namespacesPast, event.name, event.resourceVersion)) {
          this.namespaces.delete(event.name)
          this.unconfirmedNamespaces.delete(event.name)
        }
        return
      }
      case "DeploymentDeleted": {
        const key = `${event.ref.namespace}/${event.ref.name}`
        const held = this.deployments.get(key)?.resourceVersion
        if (bury(held, this.deploymentsPast, key, event.resourceVersion)) {
          this.deployments.delete(key)
          this.unconfirmed.delete(key)
        }
        return
      }
      case "Heard": {
        const ofPoll = event.resource === "namespaces" && this.namespacesPast.floor === unversioned
        if (!ofPoll || event.heardAt !== undefined) return
        for (const [name, left] of this.unconfirmedNamespaces) {
          if (left > 1) this.unconfirmedNamespaces.set(name, left - 1)
          else {
            this.unconfirmedNamespaces.delete(name)
            this.namespaces.delete(name)
          }
        }
        return
      }
      case "Lost":
        return
    }
  }

  written(object: DeploymentObject): void {
    this.#showNamespace(object)
    const key = `${object.namespace}/${object.name}`
    if (!isNews(this.deployments.get(key)?.resourceVersion, this.deploymentsPast, key, object.resourceVersion)) return
    this.deployments.set(key, object)
    this.unconfirmed.set(key, object.resourceVersion)
  }

  #showNamespace({ namespace, resourceVersion }: DeploymentObject): void {
    const held = this.namespaces.get(namespace)
    if (held === undefined) {
      if (wasDeleted(this.namespacesPast, namespace, resourceVersion)) return
    } else if (!this.unconfirmedNamespaces.has(namespace)) return
    this.namespaces.set(namespace, held !== undefined && isOlder(resourceVersion, held) ? held : resourceVersion)
    this.unconfirmedNamespaces.set(namespace, 2)
  }

  bodies(
    namespaceNames: ReadonlyArray<string>,
    deploymentNames: ReadonlyArray<string>
  ): Record<string, string | undefined> {
    const names = [...this.namespaces.keys()].sort()
    const of = (namespace: string) =>
      [...this.deployments.values()]
        .filter((object) => object.namespace === namespace)
        .sort((a, b) => (a.name < b.name ? -1 : 1))
    const list = (namespace: string) => ({ namespace, deployments: of(namespace).map(({ name }) => name) })
    const counts = (namespace: string) => ({
      namespace,
      deployments: of(namespace).map(({ name, replicas }) => ({ deployment: name, replica_count: replicas }))
    })
    const count = (namespace: string, name: string) => {
      const object = this.namespaces.has(namespace) ? this.deployments.get(`${namespace}/${name}`) : undefined
      return object === undefined ? [] : [{ namespace, deployment: name, replica_count: object.replicas }]
    }
    const bodies: Record<string, string | undefined> = {
      "1": JSON.stringify({ namespaces: names }),
      "2A": JSON.stringify(names.map(list)),
      "3B": JSON.stringify(names.map(counts))
    }
    for (const namespace of namespaceNames) {
      const exists = this.namespaces.has(namespace)
      bodies[`2 ${namespace}`] = exists ? JSON.stringify(list(namespace)) : undefined
      bodies[`3A ${namespace}`] = exists ? JSON.stringify(counts(namespace)) : undefined
      for (const name of deploymentNames) {
        const [only] = count(namespace, name)
        bodies[`3 ${namespace}/${name}`] = only && JSON.stringify(only)
      }
    }
    for (const name of deploymentNames) {
      const everywhere = names.flatMap((namespace) => count(namespace, name))
      bodies[`3C ${name}`] = everywhere.length === 0 ? undefined : JSON.stringify(everywhere)
    }
    return bodies
  }
}

const precedes = (version: ResourceVersion, other: ResourceVersion | undefined): boolean =>
  other !== undefined && isOlder(version, other)

const tell = (told: Past, version: ResourceVersion): void => {
  if (told.highest === undefined || !isOlder(version, told.highest)) told.highest = version
}

const wasDeleted = ({ floor, deletions }: Past, key: string, version: ResourceVersion): boolean => {
  const deletion = deletions.get(key)
  return (
    (floor !== undefined && isOlder(version, floor)) ||
    (deletion !== undefined && (version === deletion || isOlder(version, deletion)))
  )
}

const isNews = (held: ResourceVersion | undefined, told: Past, key: string, version: ResourceVersion): boolean =>
  held === undefined ? !wasDeleted(told, key, version) : held !== version && !isOlder(version, held)

const bury = (held: ResourceVersion | undefined, told: Past, key: string, version: ResourceVersion): boolean => {
  if (held === undefined ? wasDeleted(told, key, version) : isOlder(version, held)) return false
  const before = told.deletions.get(key)
  told.deletions.set(key, before !== undefined && isOlder(version, before) ? before : version)
  tell(told, version)
  return true
}
