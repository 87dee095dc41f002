import type { KubeVerb } from "./Faults.ts"
import type { KubeRoute } from "./KubeRoute.ts"

/**
 * One rule of a Role or ClusterRole, bound to whoever asks. `namespace`: the Role's, whose rules reach no further; absent,
 * a ClusterRole bound for the whole cluster. `*` stands for all in each list; without `resourceNames` any name will do.
 */
export interface RbacRule {
  readonly namespace?: string | undefined
  readonly apiGroups: ReadonlyArray<string>
  readonly resources: ReadonlyArray<string>
  readonly verbs: ReadonlyArray<KubeVerb | "*">
  readonly resourceNames?: ReadonlyArray<string> | undefined
}

const holds = (list: ReadonlyArray<string>, word: string): boolean => list.includes("*") || list.includes(word)

/** Whether one of the rules permits the request, as kube-apiserver's RBAC authorizer decides. */
export const permits = (
  rules: ReadonlyArray<RbacRule>,
  { group, namespace, resource, target, verb }: KubeRoute
): boolean =>
  rules.some(
    (rule) =>
      (rule.namespace === undefined || rule.namespace === namespace) &&
      holds(rule.apiGroups, group) &&
      holds(rule.resources, resource) &&
      holds(rule.verbs, verb) &&
      (rule.resourceNames === undefined || ("name" in target && rule.resourceNames.includes(target.name)))
  )
