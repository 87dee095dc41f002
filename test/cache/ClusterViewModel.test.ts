import { describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import * as View from "../../src/cache/ClusterView.ts"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import { bodiesOf, tagsOf } from "./Bodies.ts"
import * as Given from "./Given.ts"
import { NaiveModel } from "./NaiveModel.ts"
import { deploymentNames, eventOf, namespaceNames, next, Step } from "./Steps.ts"

const all = (view: View.ClusterView) => bodiesOf(view, namespaceNames, deploymentNames)

/** Checks that equal bodies of a target have equal tags, and different bodies different tags, over all calls. */
const pairing = () => {
  const tagOf = new Map<string, string | undefined>()
  const bodyOf = new Map<string, string | undefined>()
  return (bodies: Record<string, string | undefined>, tags: Record<string, string | undefined>) => {
    for (const [target, body] of Object.entries(bodies)) {
      const tag = tags[target]
      expect(tag === undefined).toBe(body === undefined)
      if (body === undefined || tag === undefined) continue
      expect(tagOf.get(`${target} ${body}`) ?? tag).toBe(tag)
      expect(bodyOf.get(`${target} ${tag}`) ?? body).toBe(body)
      tagOf.set(`${target} ${body}`, tag)
      bodyOf.set(`${target} ${tag}`, body)
    }
  }
}

const name = (index: number) => `d${(index * 7919) % 1500}`

describe("ClusterView", () => {
  it.prop(
    "has the bodies of a naive model, for any sequence of events, lists and writes",
    [Schema.Array(Step)],
    ([steps]) => {
      let view = View.empty
      const model = new NaiveModel()
      for (const step of steps) {
        view = next(view, step)
        if (step._tag === "written") model.written(Given.deployment(step.path, step.replicas, step.version))
        else model.apply(eventOf(step))
        expect(all(view)).toEqual(model.bodies(namespaceNames, deploymentNames))
        expect(view.namespaceCount).toBe(model.namespaces.size)
        expect(view.deploymentCount).toBe(
          [...model.deployments.values()].filter(({ namespace }) => model.namespaces.has(namespace)).length
        )
      }
    },
    { arbitrary: { runs: 600, size: 80 } }
  )

  const pair = pairing()
  it.prop(
    "has entity tags that depend on the bodies alone, for any sequence of events, lists and writes",
    [Schema.Array(Step)],
    ([steps]) => {
      let view = View.empty
      for (const step of steps) {
        view = next(view, step)
        pair(all(view), tagsOf(view, namespaceNames, deploymentNames))
      }
    },
    { arbitrary: { runs: 100, size: 80 } }
  )

  it("has the same tags for one list, whatever the layout of its blocks", () => {
    const items = Array.from({ length: 700 }, (_, index) => [`big/${name(index)}`, index, index + 2] as const)
    const listed = View.apply(View.apply(View.empty, Given.namespaces(1, "big")), Given.deployments(1000, ...items))
    let grown = View.apply(View.apply(View.empty, Given.namespaces(1, "big")), Given.deployments(1))
    // Deployments that go again leave other blocks behind.
    for (let index = 0; index < 1400; index++) {
      grown = View.apply(grown, Given.applied(`big/${name(index)}`, 1, index + 2))
    }
    for (let index = 700; index < 1400; index++) {
      grown = View.apply(grown, Given.deleted(`big/${name(index)}`, index + 2000))
    }
    for (let index = 0; index < 700; index++) {
      grown = View.apply(grown, Given.applied(`big/${name(index)}`, index, index + 4000))
    }
    const blocks = (view: View.ClusterView) =>
      [...view.namespaces].flatMap(({ deployments }) => deployments.blocks.map(({ entries }) => entries.length))
    expect(blocks(grown)).not.toEqual(blocks(listed))
    expect(tagsOf(grown, ["big"], [name(0), name(699)])).toEqual(tagsOf(listed, ["big"], [name(0), name(699)]))
    expect(bodiesOf(grown, ["big"], [])).toEqual(bodiesOf(listed, ["big"], []))
  })

  it.prop(
    "has bodies that do not depend on when they are read, and leaves old views unchanged",
    [Schema.Array(Step)],
    ([steps]) => {
      const readAtOnce: Array<{
        readonly view: View.ClusterView
        readonly bodies: Record<string, string | undefined>
      }> = []
      const unread: Array<View.ClusterView> = []
      let eager = View.empty
      let late = View.empty
      for (const step of steps) {
        eager = next(eager, step)
        late = next(late, step)
        readAtOnce.push({ view: eager, bodies: all(eager) })
        unread.push(late)
      }
      expect(readAtOnce.map(({ view }) => all(view))).toEqual(readAtOnce.map(({ bodies }) => bodies))
      expect(unread.map(all)).toEqual(readAtOnce.map(({ bodies }) => bodies))
    },
    { arbitrary: { runs: 100, size: 40 } }
  )

  it.prop(
    "returns itself for a repeated event",
    [Schema.Array(Step)],
    ([steps]) => {
      let view = View.empty
      for (const step of steps) {
        view = next(view, step)
        if (step._tag !== "namespaces" && step._tag !== "deployments" && step._tag !== "heard")
          expect(next(view, step)).toBe(view)
      }
    },
    { arbitrary: { runs: 100, size: 40 } }
  )

  it.prop(
    "treats each namespace that is watched by itself as a cluster of its own",
    [Schema.Array(Step)],
    ([steps]) => {
      let view = View.emptyOf(namespaceNames.map(Given.ns))
      const models = new Map(namespaceNames.map((namespace) => [namespace, new NaiveModel()]))
      const listed = new Set<string>()
      for (const step of steps) {
        for (const [namespace, model] of models) {
          const isHere = (path: string) => path.startsWith(`${namespace}/`)
          if (step._tag === "deployments") {
            const items = new Map(
              step.items
                .filter(({ path }) => isHere(path))
                .map(({ path, replicas }) => [path, [path, replicas, step.version] as const])
            )
            // Each namespace has a list of its own. One that is not in this step keeps its state.
            if (items.size === 0 && step.items.length > 0) continue
            const undecodable = step.undecodable.filter(isHere)
            view = View.apply(
              view,
              Given.withUndecodable(Given.deploymentsOf(namespace, step.version, ...items.values()), ...undecodable)
            )
            model.apply(Given.withUndecodable(Given.deployments(step.version, ...items.values()), ...undecodable))
            listed.add(namespace)
          } else if (step._tag === "written") {
            // A write shows its namespace, which later events about namespaces are compared with.
            model.written(Given.deployment(step.path, step.replicas, step.version))
          } else if (!("path" in step) || isHere(step.path)) model.apply(eventOf(step))
        }
        if (step._tag !== "deployments") view = next(view, step)
        expect(view.deploymentsSynced).toBe(listed.size === namespaceNames.length)
        for (const [namespace, model] of models) {
          const own = (bodies: Record<string, string | undefined>) =>
            Object.fromEntries(Object.entries(bodies).filter(([key]) => /^(?:2|3|3A) /.test(key)))
          expect(own(bodiesOf(view, [namespace], deploymentNames))).toEqual(
            own(model.bodies([namespace], deploymentNames))
          )
        }
      }
    },
    { arbitrary: { runs: 300, size: 60 } }
  )

  it("agrees with the model while a namespace grows to more than 1,000 deployments and shrinks to none", () => {
    const model = new NaiveModel()
    let view = View.empty
    let version = 100
    const step = (event: ClusterEvent) => {
      view = View.apply(view, event)
      model.apply(event)
    }
    const agree = () =>
      expect(bodiesOf(view, ["big"], [name(0), name(1), name(749)])).toEqual(
        model.bodies(["big"], [name(0), name(1), name(749)])
      )
    step(Given.namespaces(1, "big", "small"))
    step(Given.deployments(1, ["small/d0", 1, 1]))
    for (let index = 0; index < 1500; index++) {
      step(Given.applied(`big/${name(index)}`, index, version++))
      if (index % 100 === 0) agree()
    }
    agree()
    const sizes = () =>
      [...view.namespaces].flatMap(({ deployments }) => deployments.blocks.map((b) => b.entries.length))
    expect(Math.max(...sizes())).toBeLessThanOrEqual(128)
    for (let index = 0; index < 1500; index += 7) step(Given.applied(`big/${name(index)}`, index + 1, version++))
    agree()
    step(
      Given.deployments(
        version++,
        ...Array.from({ length: 1500 }, (_, index) => [`big/${name(index)}`, index, version++] as const)
      )
    )
    agree()
    for (let index = 0; index < 1500; index++) {
      step(Given.deleted(`big/${name(index)}`, version++))
      if (index % 100 === 0) agree()
    }
    agree()
    expect(sizes()).toEqual([])
  })
})
