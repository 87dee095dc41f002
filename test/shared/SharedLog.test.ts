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

/** The entry without undefined properties, which JSON drops. */
const present = (entry: SharedLog.LogEntry): unknown => JSON.parse(JSON.stringify(entry))

type List = Extract<ClusterEvent, { readonly _tag: "NamespacesReplaced" | "DeploymentsReplaced" }>

/** The list after a round trip through the fields of a hash. */
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

describe("an entry of the shared log", () => {
  it.prop("survives a round trip", [SharedLog.LogEntry], ([entry]) => {
    assert.deepStrictEqual(decoded(SharedLog.encode(entry)), present(entry))
  })

  it.prop("survives a round trip with any single event", [SharedLog.ToldEvent], ([event]) => {
    const entry = { _tag: "Told", events: [event] } as const
    assert.deepStrictEqual(decoded(SharedLog.encode(entry)), present(entry))
  })

  it("is not decoded from anything else", () => {
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

describe("a snapshot", () => {
  it.prop("survives a round trip with any deployments", [Schema.Array(SharedDeployment)], ([items]) => {
    const unique = [...byField(items).values()]
    const list = { _tag: "DeploymentsReplaced", items: unique, resourceVersion: Given.rv(7) } as const
    assert.deepStrictEqual(throughFields(list), list)
  })

  it.prop("survives a round trip with any namespaces", [Schema.Array(SharedNamespace)], ([items]) => {
    const unique = [...byField(items).values()]
    const list = { _tag: "NamespacesReplaced", items: unique, resourceVersion: Given.rv(7) } as const
    assert.deepStrictEqual(throughFields(list), list)
  })

  it("keeps the newer state of an object that the list contains twice", () => {
    const list = appliedOf({
      _tag: "DeploymentsReplaced",
      items: [Given.deployment("a/x", 2, 12), Given.deployment("a/x", 1, 9)],
      resourceVersion: Given.rv(12)
    })
    assert.deepStrictEqual(list, [Given.applied("a/x", 2, 12)])
  })

  it.prop(
    "changes field by field to the same objects as by the events",
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

  it("is refused if a field does not hold the object that it is named after", () => {
    const objects = noObjects({ name: "deployments", resource: "deployments" })
    const text = changeOf(Given.applied("a/x", 1, 1))?.text ?? ""
    assert.isTrue(Result.isFailure(takeField(objects, "a/y", text)))
    assert.isTrue(Result.isFailure(takeField(objects, "a/x", text.replace('"replicas":1', '"replicas":-1'))))
    assert.isTrue(Result.isSuccess(takeField(objects, "a/x", text)))
  })
})

describe("an id of the shared log", () => {
  const Place = Schema.Struct({
    epoch: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
    seq: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
  })
  it.prop("survives a round trip", [Place], ([id]) => {
    assert.deepStrictEqual(SharedLog.parseId(SharedLog.formatId(id)), Option.some(id))
  })
  it.prop(
    "that follows another comes after it, and is the next in its epoch or begins one",
    [Place, Place],
    ([a, b]) => {
      assert.strictEqual(SharedLog.isAfter(a, b) && SharedLog.isAfter(b, a), false)
      if (SharedLog.follows(a, b)) {
        assert.isTrue(SharedLog.isAfter(a, b))
        assert.isTrue(a.seq === 0 || (a.epoch === b.epoch && a.seq === b.seq + 1))
      }
    }
  )
  it("is not parsed from anything else", () => {
    for (const text of ["", "1", "1-", "-1", "a-1", "1-1-1", `1${"0".repeat(20)}-1`, 7, null]) {
      assert.deepStrictEqual(SharedLog.parseId(text), Option.none())
    }
  })
})
