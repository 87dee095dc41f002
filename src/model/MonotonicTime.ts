import type { Clock } from "effect"

/**
 * Milliseconds of the monotonic clock, which adjustments of the wall clock do not affect. Its origin is arbitrary, so times
 * are comparable only within one process.
 */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
