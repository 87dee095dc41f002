/** Work that comes at a rate of its own, whether what came before is done or not: an open loop. */
import { Effect } from "effect"

/** How work is paced. */
export interface Pace {
  readonly perSecond: number
  readonly seconds: number
  /** Look for work that is due all the time and not once a millisecond: it takes a whole core, and no work comes late. */
  readonly spin: boolean
}

/** Calls `run` at random moments, `perSecond` on average, with the moment in `performance.now()`'s milliseconds at which it was due. */
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
