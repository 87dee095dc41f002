import { Cause, Data, Effect } from "effect"

/** The service does not behave as its contract says. */
export class Mismatch extends Data.TaggedError("Mismatch")<{ readonly message: string }> {}

/** The check cannot run here; the message says why. */
export class LeftOut extends Data.TaggedError("LeftOut")<{ readonly message: string }> {}

/** A check of one row of the contract. `row`: the endpoint's number in the suite, a status, or a topic. */
export interface Check<R = never> {
  readonly row: string
  readonly says: string
  readonly run: Effect.Effect<void, Error, R>
}

/** The number of checks by result. */
export interface Tally {
  readonly passed: number
  readonly failed: number
  readonly leftOut: number
}

const print = (text: string) => Effect.sync(() => process.stdout.write(`${text}\n`))

const line = (mark: string, { row, says }: Pick<Check, "row" | "says">) => `${mark.padEnd(5)}${row.padEnd(12)}${says}`

/** Runs the checks in order, prints a line for each, and counts the results. */
export const runAll = <R>(checks: ReadonlyArray<Check<R>>): Effect.Effect<Tally, never, R> =>
  Effect.gen(function* () {
    let [passed, failed, leftOut] = [0, 0, 0]
    for (const check of checks) {
      yield* Effect.matchCauseEffect(check.run, {
        onSuccess: () => {
          passed += 1
          return print(line("ok", check))
        },
        onFailure: (cause) => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
          const error = Cause.squash(cause)
          if (error instanceof LeftOut) {
            leftOut += 1
            return print(`${line("-", check)} (left out: ${error.message})`)
          }
          failed += 1
          const text = error instanceof Error ? error.message : Cause.pretty(cause)
          return print(`${line("FAIL", check)}\n${text.replaceAll(/^/gm, "       ")}`)
        }
      })
    }
    return { passed, failed, leftOut }
  })

/** Fails with `Mismatch` unless the condition holds. */
export const expect = (isSo: boolean, message: string): Effect.Effect<void, Mismatch> =>
  isSo ? Effect.void : Effect.fail(new Mismatch({ message }))

/** Fails with `Mismatch` unless both values have the same JSON. */
export const expectSame = (what: string, got: unknown, expected: unknown): Effect.Effect<void, Mismatch> =>
  expect(
    JSON.stringify(got) === JSON.stringify(expected),
    `${what}\nexpected ${JSON.stringify(expected)}\ngot      ${JSON.stringify(got)?.slice(0, 2000)}`
  )

/** Retries a check until it succeeds. After `millis` it fails with the last error. */
export const eventually = <E, R>(check: Effect.Effect<void, E, R>, millis: number): Effect.Effect<void, E, R> =>
  Effect.suspend(() => {
    const until = Date.now() + millis
    const attempt: Effect.Effect<void, E, R> = Effect.catch(check, (error) =>
      Date.now() >= until ? Effect.fail(error) : Effect.andThen(Effect.sleep("50 millis"), attempt)
    )
    return attempt
  })
