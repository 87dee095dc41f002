/** Renders changes of a target as the items of an event stream. DNS-1123 names need no escaping. */
import type { NamespaceName } from "../contract/Names.ts"
import type { DeploymentRef } from "../model/ReadModel.ts"
import type { ClusterView } from "./ClusterView.ts"
import type { Target } from "./Target.ts"
import * as ViewReads from "./ViewReads.ts"

const namespaceItem = (view: ClusterView, namespace: NamespaceName): string =>
  ViewReads.hasNamespace(view, namespace)
    ? `{"namespace":"${namespace}"}`
    : `{"namespace":"${namespace}","deleted":true}`

const deploymentItem = (view: ClusterView, target: Target, { name, namespace }: DeploymentRef): string => {
  const body = ViewReads.replicaCountBody(view, namespace, name)
  if (body === undefined) return `{"namespace":"${namespace}","deployment":"${name}","deleted":true}`
  return target._tag === "Counts" ? String(body) : `{"namespace":"${namespace}","deployment":"${name}"}`
}

/** Whether the target lists namespaces, so that a created or deleted namespace is an item of its own. */
const showsNamespaces = (target: Target): boolean =>
  target._tag === "Namespaces" ||
  (target.namespace === "ANY" && (target._tag === "Names" || target.deployment === "ANY"))

/**
 * The current state of the changed resources, as a JSON array: namespaces first, then deployments. The item of a deleted
 * namespace covers its deployments, so they have no items.
 */
export const changeItems = (
  view: ClusterView,
  target: Target,
  namespaces: Iterable<NamespaceName>,
  deployments: Iterable<DeploymentRef>
): string => {
  const items: Array<string> = []
  const gone = new Set<NamespaceName>()
  if (showsNamespaces(target)) {
    for (const namespace of namespaces) {
      items.push(namespaceItem(view, namespace))
      if (!ViewReads.hasNamespace(view, namespace)) gone.add(namespace)
    }
  }
  for (const ref of deployments) if (!gone.has(ref.namespace)) items.push(deploymentItem(view, target, ref))
  return `[${items.join(",")}]`
}
