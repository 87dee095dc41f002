import type { AccessQuestion, DecideAccess } from "./AccessReview.ts"

/** What the demo's readers may do, as RBAC's rules say it: verb, API group and resource, or verb and path. */
const reading = new Set([
  "list /namespaces",
  "list apps/deployments",
  "get apps/deployments",
  "get apps/deployments/scale",
  "get /metrics"
])

const asked = ({ nonResourceAttributes, resourceAttributes }: AccessQuestion): string => {
  if (resourceAttributes === undefined)
    return `${nonResourceAttributes?.verb ?? ""} ${nonResourceAttributes?.path ?? ""}`
  const { group = "", resource = "", subresource, verb = "" } = resourceAttributes
  return `${verb} ${group}/${resource}${subresource === undefined ? "" : `/${subresource}`}`
}

/**
 * The demo cluster's RBAC: the user `admin` and the group `platform` may do everything, the group `readers` may read
 * everything, nobody else may do anything. deploy/demo/policy.yaml says the same as a policy.
 */
export const demoAccess: DecideAccess = (question) => {
  const groups = question.groups ?? []
  if (question.user === "admin" || groups.includes("platform")) {
    return { allowed: true, reason: 'RBAC: allowed by ClusterRoleBinding "admins"' }
  }
  return groups.includes("readers") && reading.has(asked(question))
    ? { allowed: true, reason: 'RBAC: allowed by ClusterRoleBinding "readers"' }
    : { allowed: false }
}
