import type { Body } from "../../src/cache/Body.ts"
import * as View from "../../src/cache/ClusterView.ts"
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
    "1": text(View.namespacesBody(view)),
    "2A": text(View.allDeploymentsBody(view)),
    "3B": text(View.allReplicaCountsBody(view))
  }
  for (const namespace of namespaceNames) {
    bodies[`2 ${namespace}`] = text(View.deploymentsBody(view, ns(namespace)))
    bodies[`3A ${namespace}`] = text(View.replicaCountsBody(view, ns(namespace)))
    for (const name of deploymentNames) {
      bodies[`3 ${namespace}/${name}`] = text(View.replicaCountBody(view, ns(namespace), dep(name)))
    }
  }
  for (const name of deploymentNames) bodies[`3C ${name}`] = text(View.replicaCountEverywhereBody(view, dep(name)))
  return bodies
}
