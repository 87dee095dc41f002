/**
 * The version of the state of a target. Content tags have no order, and one instance can be behind another. A client that
 * moves to another instance names the version that it has seen, so that it is not shown an older state.
 */
import { isOlder, ResourceVersion, unversioned } from "../model/ResourceVersion.ts"
import type { ClusterView } from "./ClusterView.ts"
import * as History from "./History.ts"
import type { Target } from "./Target.ts"

interface Histories {
  readonly deployments: History.History
  readonly namespaces: History.History
}

/** The histories that a target depends on; `undefined` if they are several that cannot be compared. */
const historiesOf = (view: ClusterView, target: Target): Histories | undefined => {
  const namespaces = view.namespaceHistory
  if (target._tag === "Namespaces") return { deployments: History.empty, namespaces }
  if (view.namespaceHistories.size === 0) return { deployments: view.deploymentHistory, namespaces }
  if (target.namespace === "ANY") return undefined
  return { deployments: view.namespaceHistories.get(target.namespace) ?? view.deploymentHistory, namespaces }
}

const decimal = /^[0-9]+$/

// Polled lists have no version, so a poll does not tell how far it has come.
const isPolled = ({ floor }: History.History): boolean => floor === unversioned

const textOf = (history: History.History): string =>
  !isPolled(history) && history.newest !== undefined && decimal.test(history.newest) ? history.newest : ""

/** The version of the state: the newest change of deployments and of namespaces that it includes. */
export const versionOf = (view: ClusterView, target: Target): string | undefined => {
  const histories = historiesOf(view, target)
  return histories && `${textOf(histories.deployments)}.${textOf(histories.namespaces)}`
}

const written = /^([0-9]{0,20})\.([0-9]{0,20})$/

/** Whether the view may lack a change that the state of this version includes. `false` for a malformed version. */
export const isBehind = (view: ClusterView, target: Target, version: string): boolean => {
  const parts = written.exec(version)
  const histories = historiesOf(view, target)
  if (parts === null || histories === undefined) return false
  const lacks = (history: History.History, seen: string | undefined) =>
    seen !== undefined &&
    seen !== "" &&
    !isPolled(history) &&
    history.highest !== undefined &&
    isOlder(history.highest, ResourceVersion.make(seen))
  return lacks(histories.deployments, parts[1]) || lacks(histories.namespaces, parts[2])
}
