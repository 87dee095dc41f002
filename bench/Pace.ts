/** An open loop: work starts at a fixed rate, whether or not earlier work has completed. */
import { Effect } from "effect"

/** The rate of the work. */
export interface Pace {
  readonly perSecond: number
  readonly seconds: number
  /** Poll for due work continuously instead of once a millisecond. No work starts late, but polling takes a whole core. */
  readonly spin: boolean
}

/** Calls `run` at random times, on average `perSecond`, with the due time in milliseconds of `performance.now()`. */
export const paced = ({ perSecond, seconds, spin }: Pace, run: (due: number) => void): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const end = performance.now() + seconds * 1000
    const gap = () => (-Math.log(1 - Math.random()) * 1000) / perSecond
    let due = performance.now() + gap()
    const tick = () => {
      for (const now = Math.min(end, performance.now()); due <= now; due += gap()) run(due)
      if (due > end) resume(Effect.void)
      else if (spin) setImmediate(tick)
      else setTimeout(tick, 1)
    }
    tick()
  })
