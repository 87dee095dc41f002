/**
 * The list being read. Its keys are indexed when an object is first removed. Most lists need no index, and that of 100,000
 * objects costs as much time and memory as the rest of the list.
 */
export class CollectedList<A> {
  readonly #keyOf: (object: A) => string
  readonly #undecodable = new Set<string>()
  #objects: Array<A> = []
  #byKey: Map<string, A> | undefined

  constructor(keyOf: (object: A) => string) {
    this.#keyOf = keyOf
  }

  /** Adds objects. The list may contain an object twice; its consumers use the later one. */
  append(objects: ReadonlyArray<A>): void {
    for (const object of objects) this.set(object)
  }

  set(object: A): void {
    if (this.#byKey === undefined) this.#objects.push(object)
    else {
      const key = this.#keyOf(object)
      this.#byKey.set(key, object)
      this.#undecodable.delete(key)
    }
  }

  delete(object: A): void {
    const key = this.#keyOf(object)
    this.#index().delete(key)
    this.#undecodable.delete(key)
  }

  /** Removes the object with this key, and lists the key as undecodable. */
  setUndecodable(key: string): void {
    this.#index().delete(key)
    this.#undecodable.add(key)
  }

  items(): ReadonlyArray<A> {
    return this.#byKey === undefined ? this.#objects : [...this.#byKey.values()]
  }

  /** The keys of listed objects that could not be decoded. */
  undecodable(): ReadonlySet<string> {
    return new Set(this.#undecodable)
  }

  clear(): void {
    this.#undecodable.clear()
    this.#objects = []
    this.#byKey = undefined
  }

  #index(): Map<string, A> {
    this.#byKey ??= new Map(this.#objects.map((object) => [this.#keyOf(object), object]))
    this.#objects = []
    return this.#byKey
  }
}
