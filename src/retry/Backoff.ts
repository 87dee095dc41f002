import { Clock, Duration, Effect, Pull, Schedule } from "effect"

/** How long to wait after failures: exponential from `first` to `longest`, each wait 20 % more or less at random. */
export interface Backoff {
  /** Waits, longer each time; at least `atLeast`, which is what a `Retry-After` asks for. */
  readonly wait: (atLeast?: Duration.Duration) => Effect.Effect<void>
  /** Begins again at the shortest wait. */
  readonly reset: Effect.Effect<void>
}

/** A server that asks for more patience than this gets no more: it may have meant milliseconds. */
const longestRetryAfter = Duration.minutes(5)

/** A back-off at its shortest wait. For use by one fiber. */
export const make = Effect.fnUntraced(function* (first: Duration.Input, longest: Duration.Input) {
  const schedule = Schedule.min([Schedule.exponential(first), Schedule.spaced(longest)]).pipe(Schedule.jittered)
  const start = Schedule.toStep(schedule)
  let step = yield* start
  const next = Effect.gen(function* () {
    return yield* step(yield* Clock.currentTimeMillis, undefined)
  }).pipe(
    Effect.map(([, delay]) => delay),
    // This schedule has no end, but its type allows one.
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
