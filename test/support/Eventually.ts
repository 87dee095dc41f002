import { Cause, Effect, Exit } from "effect"
import { inspect } from "node:util"

/** Waits in real time: under a `TestClock`, `Effect.sleep` would never return. */
const pause = (millis: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), millis)
    return Effect.sync(() => clearTimeout(timer))
  })

type Current<A, E, R> = Effect.Effect<A, E, R> | (() => A)

/**
 * Polls `current` until its value meets `holds`, and returns that value. `holds` is a predicate or makes assertions.
 * After `within` milliseconds the test fails, and the failure reports the last value or the last assertion.
 */
export const eventually: {
  <A, B extends A, E = never, R = never>(
    current: Current<A, E, R>,
    holds: (value: A) => value is B,
    within?: number
  ): Effect.Effect<B, E, R>
  <A, E = never, R = never>(
    current: Current<A, E, R>,
    holds: (value: A) => boolean | void,
    within?: number
  ): Effect.Effect<A, E, R>
} = <A, E, R>(current: Current<A, E, R>, holds: (value: A) => boolean | void, within = 30_000) => {
  // Created here, so that its stack names the line of the test.
  const failure = new Error(`no value within ${within} ms`)
  Error.captureStackTrace(failure, eventually)
  const poll = Effect.gen(function* () {
    for (let polls = 0; ; polls++) {
      const value = yield* Effect.isEffect(current) ? current : Effect.sync(current)
      const outcome = yield* Effect.exit(Effect.sync(() => holds(value)))
      if (Exit.isSuccess(outcome) && outcome.value !== false) return value
      const reason = Exit.isFailure(outcome) ? Cause.pretty(outcome.cause).split("\n    at ")[0] : "predicate is false"
      failure.message = `not met within ${within} ms: ${reason}; last value: ${inspect(value, { depth: 5 })}`
      yield* pause(Math.min(10 + polls, 100))
    }
  })
  const timeout = Effect.andThen(
    pause(within),
    Effect.suspend(() => Effect.die(failure))
  )
  return Effect.raceFirst(poll, timeout)
}
