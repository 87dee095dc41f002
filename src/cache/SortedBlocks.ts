const maxBlock = 128
// Blocks built from a list have room left, so that the first addition does not split its block.
const builtBlock = 96
const minBlock = 32

/** An entry of `SortedBlocks`. */
export interface Named {
  readonly name: string
}

/** Renders the text of a block from its entries. */
export interface Rendering<E, T> {
  /** Renders a block of these entries, at least one. */
  readonly render: (entries: ReadonlyArray<E>) => T
  /** Renders a block that had `text` before `next` replaced `held` among its entries. */
  readonly rerender: (text: T, entries: ReadonlyArray<E>, held: E, next: E) => T
}

/** Blocks without a text. */
export const untexted: Rendering<Named, undefined> = { render: () => undefined, rerender: () => undefined }

/** A run of entries, sorted by name, with its rendered text. Its own name is that of its last entry. */
export interface Block<E, T> extends Named {
  readonly entries: ReadonlyArray<E>
  readonly text: T
}

/**
 * Where an entry was last found. A lookup tries this place before it searches, in a later sequence too: most changes move
 * few entries.
 */
export interface Spot {
  block: number
  index: number
}

/** A spot before the first lookup. */
export const anySpot = (): Spot => ({ block: 0, index: 0 })

/**
 * The index of the first item whose key is not less than `key`, in code unit order; `items` are sorted by that key.
 *
 * Effect and Node have no binary search. `keyOf` costs nothing: a lookup among 20,000 entries takes 360 ns with it, and
 * took 410 ns with a loop written out for each kind of item.
 */
export const lowerBound = <A>(items: ReadonlyArray<A>, keyOf: (item: A) => string, key: string): number => {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const item = items[middle]
    if (item !== undefined && keyOf(item) < key) low = middle + 1
    else high = middle
  }
  return low
}

const nameOf = ({ name }: Named): string => name

/**
 * A persistent sequence of entries with unique names, sorted by name in code unit order, in blocks of at most 128. Each
 * block has a text, which is rendered when the block changes. A change returns a new sequence that shares all other
 * blocks; it copies one block and the list of blocks.
 *
 * Not `effect/HashMap`, which is not sorted, and not `effect/Trie`, which would cost a node for each character of a name.
 */
export class SortedBlocks<E extends Named, T> {
  readonly blocks: ReadonlyArray<Block<E, T>>
  /** The number of entries. */
  readonly size: number
  private readonly rendering: Rendering<E, T>

  private constructor(blocks: ReadonlyArray<Block<E, T>>, size: number, rendering: Rendering<E, T>) {
    this.blocks = blocks
    this.size = size
    this.rendering = rendering
  }

  /** The sequence of `entries`, which are sorted by name and have unique names. */
  static from<E extends Named, T>(entries: ReadonlyArray<E>, rendering: Rendering<E, T>): SortedBlocks<E, T> {
    const count = entries.length <= maxBlock ? Math.min(entries.length, 1) : Math.ceil(entries.length / builtBlock)
    const blocks = Array.from({ length: count }, (_, index) =>
      block(
        entries.slice(Math.floor((index * entries.length) / count), Math.floor(((index + 1) * entries.length) / count)),
        rendering
      )
    )
    return new SortedBlocks(blocks, entries.length, rendering)
  }

  /** The entry of this name. Tries `spot` first, and updates it. */
  get(name: string, spot?: Spot): E | undefined {
    if (spot !== undefined) {
      const there = this.blocks[spot.block]?.entries[spot.index]
      if (there?.name === name) return there
    }
    const block = lowerBound(this.blocks, nameOf, name)
    const entries = this.blocks[block]?.entries
    if (entries === undefined) return undefined
    const index = lowerBound(entries, nameOf, name)
    const entry = entries[index]
    if (entry?.name !== name) return undefined
    if (spot !== undefined) {
      spot.block = block
      spot.index = index
    }
    return entry
  }

  /** This sequence with `entry`, which replaces the entry of the same name. */
  set(entry: E): SortedBlocks<E, T> {
    // A name after the last block's name goes into the last block.
    const at = Math.min(lowerBound(this.blocks, nameOf, entry.name), Math.max(0, this.blocks.length - 1))
    const old = this.blocks[at]
    if (old === undefined) return new SortedBlocks([block([entry], this.rendering)], 1, this.rendering)
    const index = lowerBound(old.entries, nameOf, entry.name)
    const held = old.entries[index]
    if (held?.name === entry.name) {
      const entries = old.entries.with(index, entry)
      const changed = { name: old.name, entries, text: this.rendering.rerender(old.text, entries, held, entry) }
      return new SortedBlocks(this.blocks.with(at, changed), this.size, this.rendering)
    }
    const entries = old.entries.toSpliced(index, 0, entry)
    const middle = entries.length >>> 1
    const parts = entries.length <= maxBlock ? [entries] : [entries.slice(0, middle), entries.slice(middle)]
    return this.splice(at, 1, parts, this.size + 1)
  }

  /** This sequence without the entry of this name. */
  remove(name: string): SortedBlocks<E, T> {
    const at = lowerBound(this.blocks, nameOf, name)
    const old = this.blocks[at]
    if (old === undefined) return this
    const index = lowerBound(old.entries, nameOf, name)
    if (old.entries[index]?.name !== name) return this
    const entries = old.entries.toSpliced(index, 1)
    const size = this.size - 1
    if (entries.length === 0) return this.splice(at, 1, [], size)
    if (entries.length < minBlock) {
      const next = this.blocks[at + 1]?.entries
      if (next !== undefined && entries.length + next.length <= builtBlock) {
        return this.splice(at, 2, [entries.concat(next)], size)
      }
      const previous = this.blocks[at - 1]?.entries
      if (previous !== undefined && entries.length + previous.length <= builtBlock) {
        return this.splice(at - 1, 2, [previous.concat(entries)], size)
      }
    }
    return this.splice(at, 1, [entries], size)
  }

  /** All entries, sorted by name. */
  *[Symbol.iterator](): IterableIterator<E> {
    for (const { entries } of this.blocks) yield* entries
  }

  private splice(at: number, removed: number, parts: ReadonlyArray<ReadonlyArray<E>>, size: number) {
    const blocks = this.blocks.toSpliced(at, removed, ...parts.map((entries) => block(entries, this.rendering)))
    return new SortedBlocks(blocks, size, this.rendering)
  }
}

const block = <E extends Named, T>(entries: ReadonlyArray<E>, rendering: Rendering<E, T>): Block<E, T> => ({
  name: entries.at(-1)?.name ?? "",
  entries,
  text: rendering.render(entries)
})
