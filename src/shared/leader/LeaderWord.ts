/**
 * Dates a leader's entries: the time until which it has told (written) all events of its watches. Times are by the leader's
 * monotonic clock.
 *
 * The time can be in the past: events wait while others are written, and after a pause of the process its events are still
 * unread. A write can also be delayed in the network or in Redis, so each entry carries its time, by Redis' clock.
 */
export interface LeaderWord {
  /** How far Redis' clock is ahead of the monotonic one. It may be underestimated, never overestimated. */
  readonly redisAhead: number
  /** When the last events were taken from the source. */
  readonly takenAt: number
  /** When they were told; undefined until they are. */
  readonly toldAt: number | undefined
  /** All events before this time are told. */
  readonly toldUntil: number
  /** The last tick, and, after a pause of the process, the last tick before it. */
  readonly tickedAt: number
  readonly pausedAt: number | undefined
}

export const initial: LeaderWord = {
  redisAhead: 0,
  takenAt: 0,
  toldAt: undefined,
  toldUntil: 0,
  tickedAt: Infinity,
  pausedAt: undefined
}

/** Events that are taken within this time after the previous ones were told had to wait for them. */
const promptMillis = 1
/** The interval of ticks, and the gap between two that reveals a pause. */
export const tickMillis = 100
const pauseMillis = 400

/** Redis' clock was at `redisNow`, at the latest at `now`. */
export const compared = (word: LeaderWord, redisNow: number, now: number): LeaderWord => ({
  ...word,
  redisAhead: redisNow - now
})

/** The leader begins to wait for the source's first events. */
export const begun = (word: LeaderWord, now: number): LeaderWord => ({
  ...word,
  takenAt: now,
  toldAt: now,
  toldUntil: now
})

/** The events are told. */
export const told = (word: LeaderWord, now: number): LeaderWord => ({ ...word, toldAt: now })

const waits = ({ toldAt }: LeaderWord, now: number): boolean => toldAt !== undefined && now - toldAt > promptMillis

/** The source's next events are taken. */
export const taken = (word: LeaderWord, now: number): LeaderWord => ({
  ...word,
  toldUntil: waits(word, now) ? now : word.takenAt,
  takenAt: now,
  toldAt: undefined
})

/** The process ticked. */
export const ticked = (word: LeaderWord, now: number): LeaderWord => ({
  ...word,
  tickedAt: now,
  pausedAt: now - word.tickedAt > pauseMillis ? (word.pausedAt ?? word.tickedAt) : undefined
})

/** The time of an entry that is written now. */
export const asOf = (word: LeaderWord, now: number): number => {
  const told = waits(word, now) ? now : word.toldUntil
  return Math.min(told, word.pausedAt ?? Infinity, now - word.tickedAt > pauseMillis ? word.tickedAt : Infinity)
}
