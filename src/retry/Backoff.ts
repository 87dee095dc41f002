import { Clock, Duration, Effect, Pull, Schedule } from "effect"

/** Exponential back-off with 20 % jitter. */
export interface Backoff {
  /** Waits, longer each time, and at least `atLeast`, the `Retry-After` of the server. */
  readonly wait: (atLeast?: Duration.Duration) => Effect.Effect<void>
  /** Makes the next wait the shortest again. */
  readonly reset: Effect.Effect<void>
}

/** Upper bound of a `Retry-After`: a larger one may be meant in milliseconds. */
const longestRetryAfter = Duration.minutes(5)

/** A back-off from `first` to `longest`, for use by one fiber. */
export const make = Effect.fnUntraced(function* (first: Duration.Input, longest: Duration.Input) {
  const schedule = Schedule.min([Schedule.exponential(first), Schedule.spaced(longest)]).pipe(Schedule.jittered)
  const start = Schedule.toStep(schedule)
  let step = yield* start
  const next = Effect.gen(function* () {
    return yield* step(yield* Clock.currentTimeMillis, undefined)
  }).pipe(
    Effect.map(([, delay]) => delay),
    // The schedule never ends, but its type allows it.
    Pull.catchDone(() => Effect.succeed(Duration.fromInputUnsafe(longest)))
  )
  const backoff: Backoff = {
    wait: (atLeast = Duration.zero) =>
      Effect.flatMap(next, (delay) => Effect.sleep(Duration.max(delay, Duration.min(atLeast, longestRetryAfter)))),
    reset: Effect.map(start, (fresh) => {
      step = fresh
    })
  }
  return backoff
})
