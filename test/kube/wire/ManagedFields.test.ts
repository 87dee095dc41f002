import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { withoutManagedFields } from "../../../src/kube/wire/ManagedFields.ts"

const opening = '"managedFields":['

// Texts of all kinds, and pieces that a scan could mistake for syntax.
const Text = Schema.Union([Schema.Literals([opening, "[", "]", '"', "\\", '\\"', "]]}"]), Schema.String])
const Fields = Schema.Array(
  Schema.Union([Text, Schema.Array(Schema.Array(Text)), Schema.Struct({ manager: Text, fieldsV1: Schema.Array(Text) })])
)
const Metadata = Schema.Struct({ annotations: Schema.Array(Text), managedFields: Fields, name: Text })

describe("withoutManagedFields", () => {
  it.prop(
    "empties each managedFields and keeps everything else",
    { items: Schema.Array(Metadata), continued: Text },
    ({ continued, items }) => {
      const text = JSON.stringify({ metadata: { continue: continued }, items })
      assert.deepStrictEqual(JSON.parse(withoutManagedFields(text)), {
        metadata: { continue: continued },
        items: items.map((item) => Object.assign({}, item, { managedFields: [] }))
      })
    }
  )

  it.prop("keeps truncated text invalid", { item: Metadata, part: Schema.Int }, ({ item, part }) => {
    const text = JSON.stringify(item)
    const cut = text.slice(0, Math.abs(part) % text.length)
    assert.throws(() => JSON.parse(withoutManagedFields(cut)))
  })

  it("returns text without managedFields unchanged", () => {
    const text = '{"metadata":{"name":"managedFields"}}'
    assert.strictEqual(withoutManagedFields(text), text)
  })
})
