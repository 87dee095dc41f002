import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { cutInto } from "./Messages.ts"
import { watchLines } from "../../../src/kube/wire/WatchLines.ts"

/** The lines, and the failure that ends them. */
const read = (chunks: ReadonlyArray<Uint8Array>, limit?: number) =>
  Effect.sync(() => {
    const lines = watchLines(limit)
    const found: Array<Result.Result<string, string>> = []
    for (const next of [...chunks.map((chunk) => () => lines.push(chunk)), () => lines.end()]) {
      const { complete, failure } = next()
      for (const line of complete) found.push(Result.succeed(line))
      if (failure !== undefined) return [...found, Result.fail(failure)]
    }
    return found
  })

const encode = (text: string) => new TextEncoder().encode(text)

const JsonLine = Schema.fromJsonString(Schema.Array(Schema.String))
const jsonText = Schema.encodeSync(JsonLine)

describe("watchLines", () => {
  it.effect.prop(
    "splits lines, wherever the chunks end",
    {
      lines: Schema.Array(Schema.Array(Schema.String)),
      sizes: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })))
    },
    ({ lines, sizes }) =>
      Effect.gen(function* () {
        const texts = [...lines, ["ü", "日本", "🙂"]].map((line) => jsonText(line))
        const bytes = encode(texts.map((text) => `${text}\n`).join(""))
        const given = yield* read(cutInto(bytes, sizes))
        // A lone surrogate has no UTF-8 encoding, so the encoder replaces it.
        assert.deepStrictEqual(
          given,
          texts.map((text) => Result.succeed(text.toWellFormed()))
        )
      })
  )

  it.effect("splits lines when each byte is a chunk", () =>
    Effect.gen(function* () {
      const bytes = encode('{"a":"日本🙂"}\n{}\n')
      const given = yield* read([...bytes].map((byte) => Uint8Array.of(byte)))
      assert.deepStrictEqual(given, [Result.succeed('{"a":"日本🙂"}'), Result.succeed("{}")])
    })
  )

  it.effect("emits the lines before a truncated one, then an error", () =>
    Effect.gen(function* () {
      const given = yield* read([encode('{"a":1}\n{"b"')])
      assert.deepStrictEqual(given, [Result.succeed('{"a":1}'), Result.fail("truncated in the middle of a line")])
    })
  )

  it.effect("rejects a line once it exceeds the limit, and emits nothing more", () =>
    Effect.gen(function* () {
      const given = yield* read([encode("short\nlong"), encode("er than ten"), encode(" bytes\nnext\n")], 10)
      assert.deepStrictEqual(given, [Result.succeed("short"), Result.fail("a line of more than 10 bytes")])
    })
  )

  it.effect("rejects invalid UTF-8", () =>
    Effect.gen(function* () {
      const given = yield* read([Uint8Array.of(0xff, 0xfe, 0x0a), encode("next\n")])
      assert.deepStrictEqual(given, [Result.fail("not UTF-8")])
    })
  )
})
