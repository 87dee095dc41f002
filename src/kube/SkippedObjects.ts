/** Limits memory and log records: an upgrade of the cluster may make all objects undecodable. */
const maxKeys = 100

/** The keys of skipped objects that were logged. An object is logged again after it was decoded, or after a new list. */
export class SkippedObjects {
  readonly #logged = new Set<string | undefined>()
  #emitted = false

  /** Whether to log the object as a warning: it was not logged before, and the limit is not reached. Records it. */
  isNews(key: string | undefined): boolean {
    if (this.#logged.has(key) || this.#logged.size >= maxKeys) return false
    this.#logged.add(key)
    return true
  }

  /** An object was decoded. `keyOf` is called only if needed. */
  decoded(keyOf: () => string): void {
    if (this.#logged.size > 0) this.#logged.delete(keyOf())
  }

  /** A list was emitted. */
  listed(): void {
    this.#emitted = true
  }

  /** A list begins. Another attempt at the same list logs no object again. */
  listing(): void {
    if (this.#emitted) this.#logged.clear()
    this.#emitted = false
  }
}
