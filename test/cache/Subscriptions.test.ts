import { describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import * as View from "../../src/cache/ClusterView.ts"
import { changeItems } from "../../src/cache/ChangeItems.ts"
import { type Changed, Subscriptions } from "../../src/cache/Subscriptions.ts"
import type { Target } from "../../src/cache/Target.ts"
import type { DeploymentRef } from "../../src/model/ReadModel.ts"
import type { NamespaceName } from "../../src/contract/Names.ts"
import { bodyOf, tagged, tagOf } from "./Bodies.ts"
import { dep, ns } from "./Given.ts"
import { deploymentNames, namespaceNames, Step, stepped } from "./Steps.ts"
import { applyItems } from "./ApplyItems.ts"

const targets: ReadonlyArray<Target> = [
  { _tag: "Namespaces" },
  { _tag: "Names", namespace: "ANY" },
  { _tag: "Counts", namespace: "ANY", deployment: "ANY" },
  ...namespaceNames.map((name): Target => ({ _tag: "Names", namespace: ns(name) })),
  ...namespaceNames.map((name): Target => ({ _tag: "Counts", namespace: ns(name), deployment: "ANY" })),
  ...namespaceNames.flatMap((name) =>
    deploymentNames.map((deployment): Target => ({ _tag: "Counts", namespace: ns(name), deployment: dep(deployment) }))
  ),
  ...deploymentNames.map((deployment): Target => ({ _tag: "Counts", namespace: "ANY", deployment: dep(deployment) }))
]

/** A consumer of one target: it keeps a copy, and what has changed since. */
class Copy {
  readonly target: Target
  body: string | undefined
  notified = 0
  private unknown = false
  private readonly namespaces = new Set<NamespaceName>()
  private readonly deployments = new Map<string, DeploymentRef>()

  constructor(target: Target, view: View.ClusterView) {
    this.target = target
    this.body = bodyOf(view, target)
  }

  readonly changed = (changed: Changed): void => {
    this.notified++
    if (changed === undefined) this.unknown = true
    for (const name of changed?.namespaces ?? []) this.namespaces.add(name)
    for (const ref of changed?.deployments ?? []) this.deployments.set(`${ref.namespace}/${ref.name}`, ref)
  }

  /** Applies the current state of what has changed. */
  catchUp(view: View.ClusterView): void {
    const current = bodyOf(view, this.target)
    if (this.unknown || this.body === undefined || current === undefined) this.body = current
    else {
      this.body = applyItems(
        this.target,
        this.body,
        changeItems(view, this.target, this.namespaces, this.deployments.values())
      )
    }
    this.unknown = false
    this.namespaces.clear()
    this.deployments.clear()
  }
}

describe("Subscriptions", () => {
  it.prop(
    "notify exactly the subscribers of targets whose tag changed, with changes that lead to the current body",
    [Schema.Array(Schema.Struct({ batch: Schema.Array(Step), catchesUp: Schema.Boolean }))],
    ([batches]) => {
      const subscriptions = new Subscriptions()
      let view = View.empty
      const copies = targets.map((target) => new Copy(target, view))
      for (const copy of copies) subscriptions.add(view, tagged(copy.target), copy.changed)
      for (const { batch, catchesUp } of batches) {
        const before = view
        const counts = copies.map(({ notified }) => notified)
        for (const step of batch) view = stepped(view, step, subscriptions)
        subscriptions.settle(before, view)
        for (const [index, { notified, target }] of copies.entries()) {
          const changes = tagOf(before, target) === tagOf(view, target) ? 0 : 1
          expect([target, notified - (counts[index] ?? 0)]).toEqual([target, changes])
        }
        if (!catchesUp) continue
        for (const copy of copies) {
          copy.catchUp(view)
          expect([copy.target, copy.body]).toEqual([copy.target, bodyOf(view, copy.target)])
        }
      }
    },
    { arbitrary: { runs: 80, size: 40 } }
  )

  it("end, and leave nothing behind", () => {
    const subscriptions = new Subscriptions()
    const ends = targets.flatMap((target) => [0, 1].map(() => subscriptions.add(View.empty, tagged(target), () => {})))
    expect(subscriptions.size).toBe(targets.length)
    for (const end of ends) end()
    expect(subscriptions.size).toBe(0)
    for (const end of ends) end()
    expect(subscriptions.size).toBe(0)
  })
})
