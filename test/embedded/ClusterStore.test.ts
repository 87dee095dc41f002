import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { ClusterStore, type HistoryNode, rangeOf, type StoredObject } from "../../src/embedded/ClusterStore.ts"

const Step = Schema.Struct({
  action: Schema.Literals(["put", "remove", "removeNamespace", "scale"]),
  namespace: Schema.Literals(["a", "a-b", "b"]),
  name: Schema.Literals(["x", "x-y", "y"]),
  replicas: Schema.Literals([0, 1, 2])
})

const run = (store: ClusterStore, step: typeof Step.Type): void => {
  switch (step.action) {
    case "put":
      store.putNamespace(step.namespace, 0)
      store.putDeployment(step.namespace, step.name, step.replicas, 0)
      return
    case "remove":
      store.removeDeployment(step.namespace, step.name)
      return
    case "removeNamespace":
      store.removeNamespace(step.namespace)
      return
    case "scale":
      store.scale(step.namespace, step.name, step.replicas)
  }
}

/** The objects of an older list after the changes since. */
const replay = (items: ReadonlyArray<StoredObject>, from: HistoryNode): Array<StoredObject> => {
  const objects = new Map(items.map((object) => [object.key, object]))
  for (let node = from.next; node !== undefined; node = node.next) {
    if (node.change === undefined) continue
    if (node.change.type === "DELETED") objects.delete(node.change.object.key)
    else objects.set(node.change.object.key, node.change.object)
  }
  return [...objects.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
}

describe("ClusterStore", () => {
  it.prop(
    "a list and its later changes add up to the current list",
    { before: Schema.Array(Step), after: Schema.Array(Step) },
    ({ after, before }) => {
      const store = new ClusterStore(1000)
      for (const step of before) run(store, step)
      const lists = {
        namespaces: store.snapshot("namespaces"),
        deployments: store.snapshot("deployments")
      }
      for (const step of after) run(store, step)
      for (const resource of ["namespaces", "deployments"] as const) {
        const from = store.resumeAt(resource, lists[resource].resourceVersion)
        assert.isDefined(from)
        if (from !== undefined) {
          assert.deepStrictEqual(replay(lists[resource].items, from), [...store.snapshot(resource).items])
        }
      }
    }
  )

  it("a snapshot does not change with the cluster", () => {
    const store = new ClusterStore(10)
    store.putNamespace("a", 0)
    const snapshot = store.snapshot("namespaces")
    store.putNamespace("b", 0)
    assert.deepStrictEqual(
      snapshot.items.map(({ name }) => name),
      ["a"]
    )
  })

  it("a version beyond the history limit cannot be resumed from", () => {
    const store = new ClusterStore(2)
    const start = store.resourceVersion
    store.putNamespace("a", 0)
    store.putNamespace("b", 0)
    assert.isDefined(store.resumeAt("namespaces", start))
    store.putNamespace("c", 0)
    assert.isUndefined(store.resumeAt("namespaces", start))
    assert.strictEqual(store.resumeAt("namespaces", start + 1)?.next?.change?.object.name, "b")
  })

  it("the range of a namespace excludes namespaces with the same prefix", () => {
    const store = new ClusterStore(10)
    for (const namespace of ["a", "a-b", "ab"]) {
      store.putNamespace(namespace, 0)
      store.putDeployment(namespace, "x", 1, 0)
    }
    const { items } = store.snapshot("deployments")
    const { end, start } = rangeOf(items, "a", undefined)
    assert.deepStrictEqual(
      items.slice(start, end).map(({ key }) => key),
      ["a/x"]
    )
  })

  it("rewinding keeps the objects and lowers every version", () => {
    const store = new ClusterStore(10)
    for (let index = 0; index < 9; index += 1) store.putNamespace(`n${index}`, 0)
    const before = store.resourceVersion
    store.rewind(5)
    assert.isBelow(5, before)
    assert.strictEqual(store.resourceVersion, 5)
    const { items } = store.snapshot("namespaces")
    assert.strictEqual(items.length, 9)
    assert.isTrue(items.every(({ resourceVersion }) => resourceVersion >= 1 && resourceVersion <= 5))
    store.putNamespace("later", 0)
    assert.strictEqual(store.getNamespace("later")?.resourceVersion, 6)
  })
})
