import { assert, describe, it } from "@effect/vitest"
import { Option, Result, Schema } from "effect"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import * as SharedLog from "../../src/shared/SharedLog.ts"
import { watchScopeNameOf, watchScopesOf } from "../../src/shared/WatchScope.ts"
import {
  appliedOf,
  changeOf,
  noObjects,
  replacedBy,
  SharedDeployment,
  SharedNamespace,
  takeEvent,
  takeField
} from "../../src/shared/SharedObject.ts"
import * as Given from "../cache/Given.ts"

const decoded = (text: string): unknown => {
  const entry = SharedLog.decode(text)
  return Result.isSuccess(entry) ? entry.success : undefined
}

/** A property that is undefined is the same as one that is absent. */
const present = (entry: SharedLog.LogEntry): unknown => JSON.parse(JSON.stringify(entry))

type List = Extract<ClusterEvent, { readonly _tag: "NamespacesReplaced" | "DeploymentsReplaced" }>

/** The list as it comes out of Redis: its objects as the fields of a hash, and each read again. */
const throughFields = (list: List): List => {
  const scope = watchScopesOf(undefined).find(({ name }) => name === watchScopeNameOf(list, false)) ?? {
    name: "",
    resource: "namespaces"
  }
  const objects = noObjects(scope)
  for (const event of appliedOf(list)) {
    const change = changeOf(event)
    assert.isDefined(change?.text)
    assert.isTrue(Result.isSuccess(takeField(objects, change?.field ?? "", change?.text ?? "")))
  }
  return replacedBy(objects, scope, list.resourceVersion)
}

const byField = <A extends { readonly name: string; readonly namespace?: string }>(items: ReadonlyArray<A>) =>
  new Map(items.map((item) => [`${item.namespace ?? ""}/${item.name}`, item]))

describe("the entries of the shared log", () => {
  it.prop("come out of their text as they went in", [SharedLog.LogEntry], ([entry]) => {
    assert.deepStrictEqual(decoded(SharedLog.encode(entry)), present(entry))
  })

  it.prop("every event that is told alone comes out as it went in", [SharedLog.ToldEvent], ([event]) => {
    const entry = { _tag: "Told", events: [event] } as const
    assert.deepStrictEqual(decoded(SharedLog.encode(entry)), present(entry))
  })

  it("what is no entry is none", () => {
    for (const text of [
      "",
      "{}",
      "null",
      '{"_tag":"Told"}',
      '{"_tag":"Told","events":[{"_tag":"Heard","resource":"pods"}]}',
      '{"_tag":"Told","events":[{"_tag":"NamespaceApplied","object":{"name":"Upper","resourceVersion":"1"}}]}',
      '{"_tag":"Beat","leaseMillis":-1,"live":[]}'
    ]) {
      assert.isUndefined(decoded(text), text)
    }
    assert.isTrue(Result.isFailure(SharedLog.decode(undefined)))
  })
})

describe("lists, as the fields of a hash", () => {
  it.prop("hold all deployments, each once", [Schema.Array(SharedDeployment)], ([items]) => {
    const unique = [...byField(items).values()]
    const list = { _tag: "DeploymentsReplaced", items: unique, resourceVersion: Given.rv(7) } as const
    assert.deepStrictEqual(throughFields(list), list)
  })

  it.prop("hold all namespaces, each once", [Schema.Array(SharedNamespace)], ([items]) => {
    const unique = [...byField(items).values()]
    const list = { _tag: "NamespacesReplaced", items: unique, resourceVersion: Given.rv(7) } as const
    assert.deepStrictEqual(throughFields(list), list)
  })

  it("keep the newer of an object that was listed twice", () => {
    const list = appliedOf({
      _tag: "DeploymentsReplaced",
      items: [Given.deployment("a/x", 2, 12), Given.deployment("a/x", 1, 9)],
      resourceVersion: Given.rv(12)
    })
    assert.deepStrictEqual(list, [Given.applied("a/x", 2, 12)])
  })

  it.prop(
    "changed field by field are what the events make of the objects",
    [Schema.Array(SharedLog.ToldEvent)],
    ([events]) => {
      const [, scope] = watchScopesOf(undefined)
      assert.isDefined(scope)
      if (scope === undefined) return
      const told = noObjects(scope)
      const fields = new Map<string, string>()
      for (const event of events) {
        if (watchScopeNameOf(event, false) !== scope.name) continue
        takeEvent(told, event)
        const change = changeOf(event)
        if (change?.text !== undefined) fields.set(change.field, change.text)
        else if (change !== undefined) fields.delete(change.field)
      }
      const read = noObjects(scope)
      for (const [field, text] of fields) takeField(read, field, text)
      assert.deepStrictEqual([...read.items.entries()], [...told.items.entries()])
    }
  )

  it("a field that holds another object than it is called after is refused", () => {
    const objects = noObjects({ name: "deployments", resource: "deployments" })
    const text = changeOf(Given.applied("a/x", 1, 1))?.text ?? ""
    assert.isTrue(Result.isFailure(takeField(objects, "a/y", text)))
    assert.isTrue(Result.isFailure(takeField(objects, "a/x", text.replace('"replicas":1', '"replicas":-1'))))
    assert.isTrue(Result.isSuccess(takeField(objects, "a/x", text)))
  })
})

describe("the ids of the log", () => {
  const Place = Schema.Struct({
    epoch: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
    seq: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
  })
  it.prop("are read as they are written", [Place], ([id]) => {
    assert.deepStrictEqual(SharedLog.parseId(SharedLog.formatId(id)), Option.some(id))
  })
  it.prop(
    "one that follows another comes after it, and begins its epoch or is the next in it",
    [Place, Place],
    ([a, b]) => {
      assert.strictEqual(SharedLog.isAfter(a, b) && SharedLog.isAfter(b, a), false)
      if (SharedLog.follows(a, b)) {
        assert.isTrue(SharedLog.isAfter(a, b))
        assert.isTrue(a.seq === 0 || (a.epoch === b.epoch && a.seq === b.seq + 1))
      }
    }
  )
  it("what is no id is none", () => {
    for (const text of ["", "1", "1-", "-1", "a-1", "1-1-1", `1${"0".repeat(20)}-1`, 7, null]) {
      assert.deepStrictEqual(SharedLog.parseId(text), Option.none())
    }
  })
})
