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
  /** The watches whose events the source merges. */
  readonly watches: number
  /** When events were taken from the source, the last at the end: since it was last empty, and so many as matter. */
  readonly takes: ReadonlyArray<number>
  /** When they were told; undefined until they are. */
  readonly toldAt: number | undefined
  /** All events before this time are told. */
  readonly toldUntil: number
  /** The last tick, and, after a pause of the process, the last tick before it. */
  readonly tickedAt: number
  readonly pausedAt: number | undefined
}

export const initial = (watches: number): LeaderWord => ({
  redisAhead: 0,
  watches,
  takes: [],
  toldAt: undefined,
  toldUntil: 0,
  tickedAt: Infinity,
  pausedAt: undefined
})

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
  takes: [now],
  toldAt: now,
  toldUntil: now
})

/** The events are told. */
export const told = (word: LeaderWord, now: number): LeaderWord => ({ ...word, toldAt: now })

const waits = ({ toldAt }: LeaderWord, now: number): boolean => toldAt !== undefined && now - toldAt > promptMillis

/**
 * The source's next events are taken. It had fetched them when it handed over the ones before of the same watch, perhaps while
 * those of all other watches were ahead, and that goes for the ones before, too. Later events were not among them.
 */
export const taken = (word: LeaderWord, now: number): LeaderWord => {
  const takes = waits(word, now) ? [now] : [...word.takes, now].slice(-(2 * word.watches + 1))
  return { ...word, takes, toldUntil: takes[0] ?? now, toldAt: undefined }
}

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
