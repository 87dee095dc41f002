import type { Clock } from "effect"

/**
 * Milliseconds of the clock that never goes back and that no correction of the wall clock moves. Its origin is arbitrary, so
 * only times of one process compare.
 */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
