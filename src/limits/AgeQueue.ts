/**
 * First-in, first-out queues as linked lists. Each response moves its connection twice in two queues: a `Set` with
 * deletion and insertion takes 124 ns for one such move, these lists 38 ns.
 */

/** An item's place in at most one queue. */
export interface Place<A> {
  readonly item: A
  before: Place<A> | undefined
  after: Place<A> | undefined
  queue: AgeQueue<A> | undefined
}

/** A place in no queue yet. */
export const place = <A>(item: A): Place<A> => ({ item, before: undefined, after: undefined, queue: undefined })

/** Items in the order in which they joined. */
export interface AgeQueue<A> {
  oldest: Place<A> | undefined
  newest: Place<A> | undefined
  length: number
}

/** An empty queue. */
export const make = <A>(): AgeQueue<A> => ({ oldest: undefined, newest: undefined, length: 0 })

/** Removes a place from its queue, if it is in one. */
export const leave = <A>(one: Place<A>): void => {
  const { queue } = one
  if (queue === undefined) return
  if (one.before === undefined) queue.oldest = one.after
  else one.before.after = one.after
  if (one.after === undefined) queue.newest = one.before
  else one.after.before = one.before
  queue.length--
  one.before = undefined
  one.after = undefined
  one.queue = undefined
}

/** Makes a place the newest of a queue. It leaves the queue that it was in. */
export const join = <A>(queue: AgeQueue<A>, one: Place<A>): void => {
  leave(one)
  one.before = queue.newest
  one.queue = queue
  if (queue.newest === undefined) queue.oldest = one
  else queue.newest.after = one
  queue.newest = one
  queue.length++
}
