/** The maximum time in milliseconds before other work gets a turn. */
const sliceMillis = 4

/**
 * Continues held responses in time slices, one for each turn of the event loop: a change for thousands of consumers must
 * not delay other requests. A response that is woken several times before its turn continues once.
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

  /** Removes a response that is to continue. */
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
