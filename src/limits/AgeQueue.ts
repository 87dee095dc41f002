/** An item's place in one queue at a time; moving it, or taking it out, is done in constant time. */
export interface Place<A> {
  readonly item: A
  before: Place<A> | undefined
  after: Place<A> | undefined
  queue: AgeQueue<A> | undefined
}

/** A place in no queue yet. */
export const place = <A>(item: A): Place<A> => ({ item, before: undefined, after: undefined, queue: undefined })

/** Items in the order in which they joined: the one that has been in the queue the longest is the oldest. */
export interface AgeQueue<A> {
  oldest: Place<A> | undefined
  newest: Place<A> | undefined
}

/** An empty queue. */
export const make = <A>(): AgeQueue<A> => ({ oldest: undefined, newest: undefined })

/** Takes a place out of the queue that it is in, if any. */
export const leave = <A>(one: Place<A>): void => {
  const { queue } = one
  if (queue === undefined) return
  if (one.before === undefined) queue.oldest = one.after
  else one.before.after = one.after
  if (one.after === undefined) queue.newest = one.before
  else one.after.before = one.before
  one.before = undefined
  one.after = undefined
  one.queue = undefined
}

/** Makes a place the newest of a queue; it leaves the one that it was in. */
export const join = <A>(queue: AgeQueue<A>, one: Place<A>): void => {
  leave(one)
  one.before = queue.newest
  one.queue = queue
  if (queue.newest === undefined) queue.oldest = one
  else queue.newest.after = one
  queue.newest = one
}
