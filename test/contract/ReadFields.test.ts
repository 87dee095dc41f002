import { describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import { acceptsStream, matchesNone, waitSeconds } from "../../src/contract/ReadFields.ts"

describe("If-None-Match", () => {
  it.each([
    ['"12"', true],
    ['W/"12"', true],
    ['"11", "12"', true],
    ['"11" , W/"12"', true],
    [',, "12" ,', true],
    ["*", true],
    [" * ", true],
    ['"a,b", "12"', true],
    ['"11"', false],
    ['"1,2"', false],
    ['W/"11","13"', false],
    ['""', false],
    ["", undefined],
    [",", undefined],
    ["12", undefined],
    ['"12', undefined],
    ['"11" "12"', undefined],
    ['w/"12"', undefined],
    ['"12", *', undefined],
    ['"1"2"', undefined]
  ])('%s against "12": %s', (value, expected) => {
    expect(matchesNone(value, '"12"')).toBe(expected)
  })

  const Tags = Schema.Array(
    Schema.Struct({ weak: Schema.Boolean, text: Schema.String.check(Schema.isPattern(/^[!#-~]*$/)) })
  )

  it.prop("matches if and only if the list has the tag, weak or strong", [Tags, Schema.Int], ([tags, index]) => {
    const written = tags.map(({ text, weak }) => `${weak ? "W/" : ""}"${text}"`).join(", ")
    if (tags.length === 0) return
    const one = tags[Math.abs(index) % tags.length]
    expect(matchesNone(written, `"${one?.text}"`)).toBe(true)
    const other = `"${tags.map(({ text }) => text).join("")}!"`
    expect(matchesNone(written, other)).toBe(false)
  })

  it.prop("never throws, whatever the value", [Schema.String], ([value]) => {
    expect([true, false, undefined]).toContain(matchesNone(value, '"12"'))
  })

  it("reads 64 kB of tags and of garbage in linear time", () => {
    expect(matchesNone('"aaaaaa",'.repeat(7282), '"12"')).toBe(false)
    expect(matchesNone(" ".repeat(65_536), '"12"')).toBe(undefined)
    expect(matchesNone(`"${" ".repeat(65_536)}`, '"12"')).toBe(undefined)
    expect(matchesNone(",".repeat(65_536), '"12"')).toBe(undefined)
  })
})

describe("Prefer: wait", () => {
  it.each([
    ["wait=10", 10],
    ["Wait = 10", 10],
    ['wait="10"', 10],
    ["respond-async, wait=10", 10],
    ["wait=10; foo=bar, wait=20", 10],
    ["wait=0", 0],
    ["wait=3600", 60],
    ["wait=99999999999999999999999", 60],
    ["wait", undefined],
    ["wait=", undefined],
    ["wait=-1", undefined],
    ["wait=1.5", undefined],
    ["wait=ten", undefined],
    ["await=10", undefined],
    ["", undefined],
    [undefined, undefined]
  ])("%s: %s", (value, expected) => {
    expect(waitSeconds(value, 60)).toBe(expected)
  })
})

describe("Accept", () => {
  it.each([
    ["text/event-stream", true],
    ["text/event-stream, */*", true],
    ["application/json;q=0.5, text/event-stream", true],
    ["Text/Event-Stream", true],
    ["text/event-stream;q=0", false],
    ["application/json, text/event-stream;q=0.5", false],
    ["application/json", false],
    ["*/*", false],
    [undefined, false]
  ])("%s: %s", (accept, expected) => {
    expect(acceptsStream(accept)).toBe(expected)
  })
})
