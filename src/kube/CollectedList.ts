/** The list being read: from pages, which repeat no object, or from initial events, by key. */
export class CollectedList<A> {
  readonly #keyOf: (object: A) => string
  readonly #byKey = new Map<string, A>()
  readonly #held = new Set<string>()
  #paged: Array<A> = []

  constructor(keyOf: (object: A) => string) {
    this.#keyOf = keyOf
  }

  append(objects: ReadonlyArray<A>): void {
    for (const object of objects) this.#paged.push(object)
  }

  set(object: A): void {
    const key = this.#keyOf(object)
    this.#byKey.set(key, object)
    this.#held.delete(key)
  }

  delete(object: A): void {
    const key = this.#keyOf(object)
    this.#byKey.delete(key)
    this.#held.delete(key)
  }

  /** Forgets the object of this key, whose last known state is to stay. */
  hold(key: string): void {
    this.#byKey.delete(key)
    this.#held.add(key)
  }

  items(): ReadonlyArray<A> {
    const items = this.#byKey.size === 0 ? this.#paged : [...this.#byKey.values()]
    return this.#held.size === 0 ? items : items.filter((object) => !this.#held.has(this.#keyOf(object)))
  }

  /** The keys of the objects that could not be decoded. */
  held(): ReadonlySet<string> {
    return new Set(this.#held)
  }

  clear(): void {
    this.#byKey.clear()
    this.#held.clear()
    this.#paged = []
  }
}
