/** The time after which other work gets a turn, in milliseconds. */
const sliceMillis = 4

/**
 * Continues held responses in turns of the event loop, a few milliseconds each: a change that concerns thousands of
 * consumers must not delay other requests. One that is woken again before its turn is continued once.
 */
export class Pump<A> {
  private readonly ready = new Set<A>()
  private readonly proceed: (one: A) => void
  private isScheduled = false

  /** `proceed` must not throw. */
  constructor(proceed: (one: A) => void) {
    this.proceed = proceed
  }

  wake(one: A): void {
    this.ready.add(one)
    if (this.isScheduled) return
    this.isScheduled = true
    setImmediate(this.run)
  }

  /** Does not continue it any more. */
  forget(one: A): void {
    this.ready.delete(one)
  }

  private readonly run = (): void => {
    const until = performance.now() + sliceMillis
    for (const one of this.ready) {
      this.ready.delete(one)
      this.proceed(one)
      if (performance.now() >= until) break
    }
    this.isScheduled = this.ready.size > 0
    if (this.isScheduled) setImmediate(this.run)
  }
}
