import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Logger, PlatformError } from "effect"
import { connectionsThatFit } from "../../src/limits/OpenFiles.ts"

const table = (openFiles: string) =>
  `Limit                     Soft Limit           Hard Limit           Units     \nMax processes             95926                95926                processes \nMax open files            ${openFiles.padEnd(20)} 1048576              files     \n`

/** The number of connections with this table of limits, and the log. */
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
  it.effect("gives the maximum if the limit on open files allows it, or there is none", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* fitting(2048, Effect.succeed(table("4096"))), { fits: 2048, logged: [] })
      assert.deepStrictEqual(yield* fitting(2048, Effect.succeed(table("unlimited"))), { fits: 2048, logged: [] })
    })
  )
  it.effect("gives the maximum if the limit is unknown", () =>
    Effect.gen(function* () {
      const missing = PlatformError.systemError({
        _tag: "NotFound",
        module: "FileSystem",
        method: "readFileString"
      })
      assert.deepStrictEqual(yield* fitting(2048, Effect.fail(missing)), { fits: 2048, logged: [] })
    })
  )
  it.effect("gives fewer if the limit is lower, and warns with the number and the fix", () =>
    Effect.gen(function* () {
      const { fits, logged } = yield* fitting(2048, Effect.succeed(table("1024")))
      assert.strictEqual(fits, 768)
      assert.strictEqual(logged.length, 1)
      assert.match(logged[0] ?? "", /MAX_CONNECTIONS=2048.*768.*ulimit -n/)
      assert.strictEqual((yield* fitting(2048, Effect.succeed(table("64")))).fits, 32)
    })
  )
})
