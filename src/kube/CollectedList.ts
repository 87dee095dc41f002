/**
 * The list being read. Its keys are indexed only once an object is removed from it: most lists end without, and an index of
 * 100,000 objects takes as much time and memory as the rest.
 */
export class CollectedList<A> {
  readonly #keyOf: (object: A) => string
  readonly #held = new Set<string>()
  #objects: Array<A> = []
  #byKey: Map<string, A> | undefined

  constructor(keyOf: (object: A) => string) {
    this.#keyOf = keyOf
  }

  /** Adds objects. One that is added again follows the earlier one, and replaces it for every reader of the list. */
  append(objects: ReadonlyArray<A>): void {
    for (const object of objects) this.set(object)
  }

  set(object: A): void {
    if (this.#byKey === undefined) this.#objects.push(object)
    else {
      const key = this.#keyOf(object)
      this.#byKey.set(key, object)
      this.#held.delete(key)
    }
  }

  delete(object: A): void {
    const key = this.#keyOf(object)
    this.#index().delete(key)
    this.#held.delete(key)
  }

  /** Forgets the object of this key, whose last known state is to stay. */
  hold(key: string): void {
    this.#index().delete(key)
    this.#held.add(key)
  }

  items(): ReadonlyArray<A> {
    return this.#byKey === undefined ? this.#objects : [...this.#byKey.values()]
  }

  /** The keys of the objects that could not be decoded. */
  held(): ReadonlySet<string> {
    return new Set(this.#held)
  }

  clear(): void {
    this.#held.clear()
    this.#objects = []
    this.#byKey = undefined
  }

  #index(): Map<string, A> {
    this.#byKey ??= new Map(this.#objects.map((object) => [this.#keyOf(object), object]))
    this.#objects = []
    return this.#byKey
  }
}
