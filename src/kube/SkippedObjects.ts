/** A bound of the memory, and of the log: an upgrade of the cluster may make all objects undecodable. */
const mostKeys = 100

/** The objects whose skipping was logged, by key: each is logged once until it was readable, or until the next list. */
export class SkippedObjects {
  readonly #logged = new Set<string | undefined>()
  #emitted = false

  /** Whether the object was not logged yet, and there is room for another one. Notes it as logged. */
  isNews(key: string | undefined): boolean {
    if (this.#logged.has(key) || this.#logged.size >= mostKeys) return false
    this.#logged.add(key)
    return true
  }

  /** The object could be decoded. `keyOf` is called only if there is anything to forget. */
  readable(keyOf: () => string): void {
    if (this.#logged.size > 0) this.#logged.delete(keyOf())
  }

  /** A list was emitted. */
  listed(): void {
    this.#emitted = true
  }

  /** A list begins. A further attempt at the same list is no news. */
  listing(): void {
    if (this.#emitted) this.#logged.clear()
    this.#emitted = false
  }
}
