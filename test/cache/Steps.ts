/** Generated histories of a small cluster. */
import { Schema } from "effect"
import * as View from "../../src/cache/ClusterView.ts"
import type { Subscriptions } from "../../src/cache/Subscriptions.ts"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import * as Given from "./Given.ts"

export const namespaceNames = ["a", "a-b", "b", "0"]
export const deploymentNames = ["x", "x.y", "x-y", "x0"]

const NamespaceNames = Schema.Literals(["a", "a-b", "b", "0"])
const Paths = Schema.Literals(
  namespaceNames.flatMap((namespace) => deploymentNames.map((name) => `${namespace}/${name}`))
)
const Versions = Schema.Union([
  Schema.Int.check(Schema.isBetween({ minimum: 8, maximum: 25 })),
  Schema.Literals(["opaque", "08"])
])
// A poll lists namespaces without a version.
const NamespacesVersions = Schema.Union([Versions, Schema.Literals(["0", "0", "0"])])
const Counts = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
const Item = Schema.Struct({ path: Paths, replicas: Counts })

/** A step of a generated history: a list, an event, or a write. */
export const Step = Schema.Union([
  Schema.TaggedStruct("namespaces", {
    names: Schema.Array(NamespaceNames),
    version: NamespacesVersions,
    undecodable: Schema.Array(NamespaceNames)
  }),
  Schema.TaggedStruct("deployments", {
    items: Schema.Array(Item),
    version: Versions,
    undecodable: Schema.Array(Paths)
  }),
  Schema.TaggedStruct("namespaceApplied", { name: NamespaceNames, version: Versions }),
  Schema.TaggedStruct("namespaceDeleted", { name: NamespaceNames, version: Versions }),
  Schema.TaggedStruct("applied", { ...Item.fields, version: Versions }),
  Schema.TaggedStruct("deleted", { path: Paths, version: Versions }),
  Schema.TaggedStruct("written", { ...Item.fields, version: Versions }),
  Schema.TaggedStruct("heard", { heardAt: Schema.UndefinedOr(Schema.Literals([5])) })
])
export type Step = typeof Step.Type

/** The event of a step. */
export const eventOf = (step: Exclude<Step, { readonly _tag: "written" }>): ClusterEvent => {
  switch (step._tag) {
    case "namespaces":
      return Given.withUndecodable(Given.namespaces(step.version, ...step.names), ...step.undecodable)
    case "deployments":
      return Given.withUndecodable(
        Given.deployments(
          step.version,
          ...new Map(step.items.map(({ path, replicas }) => [path, [path, replicas, step.version] as const])).values()
        ),
        ...step.undecodable
      )
    case "namespaceApplied":
      return Given.namespaceApplied(step.name, step.version)
    case "namespaceDeleted":
      return Given.namespaceDeleted(step.name, step.version)
    case "applied":
      return Given.applied(step.path, step.replicas, step.version)
    case "deleted":
      return Given.deleted(step.path, step.version)
    case "heard":
      return { _tag: "Heard", resource: "namespaces", heardAt: step.heardAt }
  }
}

/** The view after a step. */
export const next = (view: View.ClusterView, step: Step): View.ClusterView =>
  step._tag === "written"
    ? View.written(view, Given.deployment(step.path, step.replicas, step.version))
    : View.apply(view, eventOf(step))

/** The view after a step that is noted in `subscriptions`. */
export const stepped = (view: View.ClusterView, step: Step, subscriptions: Subscriptions): View.ClusterView => {
  if (step._tag === "written") subscriptions.noteWrite(Given.ref(step.path))
  else subscriptions.note(eventOf(step))
  return next(view, step)
}
