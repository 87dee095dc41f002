import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Logger, PlatformError } from "effect"
import { connectionsThatFit } from "../../src/limits/OpenFiles.ts"

const table = (openFiles: string) =>
  `Limit                     Soft Limit           Hard Limit           Units     \nMax processes             95926                95926                processes \nMax open files            ${openFiles.padEnd(20)} 1048576              files     \n`

/** What fits where the process's limits read so, and what was said about it. */
const fitting = Effect.fnUntraced(function* (
  maximum: number,
  limits: Effect.Effect<string, PlatformError.PlatformError>
) {
  const logged: Array<string> = []
  const fits = yield* connectionsThatFit(maximum).pipe(
    Effect.provide(FileSystem.layerNoop({ readFileString: () => limits })),
    Effect.provide(Logger.layer([Logger.make(({ message }) => void logged.push(String(message)))]))
  )
  return { fits, logged }
})

describe("connectionsThatFit", () => {
  it.effect("all of them, where as many files may be open, or any number", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* fitting(2048, Effect.succeed(table("4096"))), { fits: 2048, logged: [] })
      assert.deepStrictEqual(yield* fitting(2048, Effect.succeed(table("unlimited"))), { fits: 2048, logged: [] })
    })
  )
  it.effect("all of them, where the limit cannot be told", () =>
    Effect.gen(function* () {
      const missing = PlatformError.systemError({
        _tag: "NotFound",
        module: "FileSystem",
        method: "readFileString"
      })
      assert.deepStrictEqual(yield* fitting(2048, Effect.fail(missing)), { fits: 2048, logged: [] })
    })
  )
  it.effect("fewer, with a warning that says how many and what to do, where the limit is lower", () =>
    Effect.gen(function* () {
      const { fits, logged } = yield* fitting(2048, Effect.succeed(table("1024")))
      assert.strictEqual(fits, 768)
      assert.strictEqual(logged.length, 1)
      assert.match(logged[0] ?? "", /MAX_CONNECTIONS=2048.*768.*ulimit -n/)
      assert.strictEqual((yield* fitting(2048, Effect.succeed(table("64")))).fits, 32)
    })
  )
})
