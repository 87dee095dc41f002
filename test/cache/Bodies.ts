import type { Body } from "../../src/cache/Body.ts"
import * as View from "../../src/cache/ClusterView.ts"
import * as ViewReads from "../../src/cache/ViewReads.ts"
import type { TaggedTarget } from "../../src/cache/Subscriptions.ts"
import type { Target } from "../../src/cache/Target.ts"
import { dep, ns } from "./Given.ts"

export const text = (body: Body | undefined): string | undefined =>
  body === undefined || typeof body === "string" ? body : Buffer.from(body).toString("utf8")

/** Every body of the view with these names. */
export const bodiesOf = (
  view: View.ClusterView,
  namespaceNames: ReadonlyArray<string>,
  deploymentNames: ReadonlyArray<string>
): Record<string, string | undefined> => {
  const bodies: Record<string, string | undefined> = {
    "1": text(ViewReads.namespacesBody(view)),
    "2A": text(ViewReads.allDeploymentsBody(view)),
    "3B": text(ViewReads.allReplicaCountsBody(view))
  }
  for (const namespace of namespaceNames) {
    bodies[`2 ${namespace}`] = text(ViewReads.deploymentsBody(view, ns(namespace)))
    bodies[`3A ${namespace}`] = text(ViewReads.replicaCountsBody(view, ns(namespace)))
    for (const name of deploymentNames) {
      bodies[`3 ${namespace}/${name}`] = text(ViewReads.replicaCountBody(view, ns(namespace), dep(name)))
    }
  }
  for (const name of deploymentNames) bodies[`3C ${name}`] = text(ViewReads.replicaCountEverywhereBody(view, dep(name)))
  return bodies
}

/** The entity tag of every body of the view with these names. */
export const tagsOf = (
  view: View.ClusterView,
  namespaceNames: ReadonlyArray<string>,
  deploymentNames: ReadonlyArray<string>
): Record<string, string | undefined> => {
  const tags: Record<string, string | undefined> = {
    "1": ViewReads.namespacesTag(view),
    "2A": ViewReads.allDeploymentsTag(view),
    "3B": ViewReads.allReplicaCountsTag(view)
  }
  for (const namespace of namespaceNames) {
    tags[`2 ${namespace}`] = ViewReads.deploymentsTag(view, ns(namespace))
    tags[`3A ${namespace}`] = ViewReads.replicaCountsTag(view, ns(namespace))
    for (const name of deploymentNames) {
      tags[`3 ${namespace}/${name}`] = ViewReads.replicaCountTag(view, ns(namespace), dep(name))
    }
  }
  for (const name of deploymentNames) tags[`3C ${name}`] = ViewReads.replicaCountEverywhereTag(view, dep(name))
  return tags
}

/** The body of a target; `undefined` if it does not exist. */
export const bodyOf = (view: View.ClusterView, target: Target): string | undefined => {
  switch (target._tag) {
    case "Namespaces":
      return text(ViewReads.namespacesBody(view))
    case "Names":
      return text(
        target.namespace === "ANY"
          ? ViewReads.allDeploymentsBody(view)
          : ViewReads.deploymentsBody(view, target.namespace)
      )
    case "Counts":
      if (target.namespace === "ANY") {
        return text(
          target.deployment === "ANY"
            ? ViewReads.allReplicaCountsBody(view)
            : ViewReads.replicaCountEverywhereBody(view, target.deployment)
        )
      }
      return text(
        target.deployment === "ANY"
          ? ViewReads.replicaCountsBody(view, target.namespace)
          : ViewReads.replicaCountBody(view, target.namespace, target.deployment)
      )
  }
}

/** The entity tag of a target; `undefined` if it does not exist. */
export const tagOf = (view: View.ClusterView, target: Target): string | undefined => {
  switch (target._tag) {
    case "Namespaces":
      return ViewReads.namespacesTag(view)
    case "Names":
      return target.namespace === "ANY"
        ? ViewReads.allDeploymentsTag(view)
        : ViewReads.deploymentsTag(view, target.namespace)
    case "Counts":
      if (target.namespace === "ANY") {
        return target.deployment === "ANY"
          ? ViewReads.allReplicaCountsTag(view)
          : ViewReads.replicaCountEverywhereTag(view, target.deployment)
      }
      return target.deployment === "ANY"
        ? ViewReads.replicaCountsTag(view, target.namespace)
        : ViewReads.replicaCountTag(view, target.namespace, target.deployment)
  }
}

/** The target with its tag. */
export const tagged = (target: Target): TaggedTarget => ({ target, tag: (view) => tagOf(view, target) })
