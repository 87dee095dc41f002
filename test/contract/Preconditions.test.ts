import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import { maxReplicaCount, ReplicaCount } from "../../src/contract/Names.ts"
import { preconditionText, PreconditionText } from "../../src/contract/Preconditions.ts"

const decode = Schema.decodeUnknownOption(PreconditionText)

/** The precondition by another algorithm: the count whose tag is this very text. */
const expected = (text: string): Option.Option<number | string> => {
  if (text === "*") return Option.some("*")
  const count = Number(text.slice(1, -1))
  return Number.isInteger(count) && count >= 0 && count <= maxReplicaCount && text === `"${count}"`
    ? Option.some(count)
    : Option.none()
}

const piece = Schema.Literals([
  '"',
  "W/",
  "w/",
  "*",
  ",",
  " ",
  "\t",
  "0",
  "1",
  "12",
  "2147483647",
  "2147483648",
  "-",
  "+",
  ".",
  "e3",
  "0x",
  "\\",
  "٣",
  "a",
  ""
])

describe("If-Match of a write", () => {
  it.prop("is the tag of a count for any count", [ReplicaCount], ([count]) => {
    assert.deepStrictEqual(decode(preconditionText(count)), Option.some(count))
  })

  it.prop(
    "is one tag of a canonical count or *, and nothing else",
    [Schema.Union([Schema.String, Schema.Array(piece)])],
    ([given]) => {
      const text = typeof given === "string" ? given : given.join("")
      for (const one of [text, `"${text}"`, `"${text}`, `W/"${text}"`]) {
        assert.deepStrictEqual(decode(one), expected(one), JSON.stringify(one))
      }
    },
    { arbitrary: { runs: 2000 } }
  )

  it.each([
    '"12',
    '12"',
    "12",
    "'12'",
    'W/"12"',
    '"12","13"',
    '"12", "12"',
    "*, *",
    '"012"',
    '"00"',
    '"+1"',
    '"-1"',
    '"-0"',
    '"1.0"',
    '"1e3"',
    '"0x10"',
    '" 12"',
    '"12 "',
    '"2147483648"',
    '"99999999999999999999"',
    '""',
    '"*"',
    "**",
    "",
    '"12"\n'
  ])("refuses %j", (text) => {
    assert.deepStrictEqual(decode(text), Option.none())
  })
})
