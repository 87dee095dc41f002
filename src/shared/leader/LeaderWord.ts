/**
 * The time of a leader's word: up to when it has told all that its watches saw. Times are by the leader's monotonic clock.
 *
 * Events that arrive while others are being written wait. And after a pause of the process, what happened in it has yet to
 * be read. A write can also wait in the network or in Redis; so it carries its time, by Redis' clock.
 */
export interface LeaderWord {
  /** How far Redis' clock is ahead of the monotonic one; never more than it is. */
  readonly redisAhead: number
  /** The watches whose events the source merges. */
  readonly watches: number
  /** When events were taken from the source, the last at the end: since it was last empty, and so many as matter. */
  readonly takes: ReadonlyArray<number>
  /** When they were told; undefined until they are. */
  readonly toldAt: number | undefined
  /** All events until then are told. */
  readonly toldUntil: number
  /** When the process last ran on time, and when it did before the pause that it comes from. */
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

/** Events that were taken sooner after others had waited for them. */
const promptMillis = 1
/** The interval of ticks, and the one that tells of a pause. */
export const tickMillis = 100
const pauseMillis = 400

/** Redis' clock was `redisNow` before `now`. */
export const compared = (word: LeaderWord, redisNow: number, now: number): LeaderWord => ({
  ...word,
  redisAhead: redisNow - now
})

/** The source's first events are awaited. */
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

/** The process runs. */
export const ticked = (word: LeaderWord, now: number): LeaderWord => ({
  ...word,
  tickedAt: now,
  pausedAt: now - word.tickedAt > pauseMillis ? (word.pausedAt ?? word.tickedAt) : undefined
})

/** The time of a word that is given now. */
export const asOf = (word: LeaderWord, now: number): number => {
  const told = waits(word, now) ? now : word.toldUntil
  return Math.min(told, word.pausedAt ?? Infinity, now - word.tickedAt > pauseMillis ? word.tickedAt : Infinity)
}
