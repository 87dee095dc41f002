/**
 * Counts distinct users over sliding windows of whole hours.
 *
 * A map holds the hour in which each user was last seen. It holds at most `maxUsers`, 10 MB: users beyond that are not
 * counted, so a count of `maxUsers` means "at least". Users are kept as digests, because nothing bounds the length of a
 * certificate's CN.
 */
import { hash } from "node:crypto"

const maxHours = 24
const millisPerHour = 3_600_000

/** The largest count. */
export const maxUsers = 100_000

/** The users seen by one instance. Times are milliseconds since the epoch. */
export interface DistinctUsers {
  readonly seen: (user: string, atMillis: number) => void
  /** The number of users in this hour and the `pastHours` before it, at most 23. */
  readonly count: (pastHours: number, nowMillis: number) => number
}

/** No users yet. */
export const make = (): DistinctUsers => {
  const lastHours = new Map<string, number>()
  let sweptHour = 0
  const sweep = (hour: number): void => {
    if (hour === sweptHour) return
    sweptHour = hour
    for (const [key, last] of lastHours) if (last <= hour - maxHours) lastHours.delete(key)
  }
  return {
    seen: (user, atMillis) => {
      const hour = Math.floor(atMillis / millisPerHour)
      sweep(hour)
      const key = hash("sha256", user, "base64")
      if (lastHours.size < maxUsers || lastHours.has(key)) lastHours.set(key, hour)
    },
    count: (pastHours, nowMillis) => {
      const hour = Math.floor(nowMillis / millisPerHour)
      let users = 0
      for (const last of lastHours.values()) if (last >= hour - pastHours && last <= hour) users++
      return users
    }
  }
}
