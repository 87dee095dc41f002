const maxBlock = 128
// Built blocks are left some room, so that the first addition after a list does not split each block it meets.
const builtBlock = 96
const minBlock = 32

/** What can be kept in `SortedBlocks`. */
export interface Named {
  readonly name: string
}

/** How the text of a block comes from its entries. */
export interface Rendering<E, T> {
  /** The text of a block of these entries, at least one. */
  readonly render: (entries: ReadonlyArray<E>) => T
  /** The text of a block that had `text`, and has these entries now that `next` is in the place of `held`. */
  readonly rerender: (text: T, entries: ReadonlyArray<E>, held: E, next: E) => T
}

/** The rendering of blocks that have no text. */
export const untexted: Rendering<Named, undefined> = { render: () => undefined, rerender: () => undefined }

/** A run of entries, sorted by name, and what was rendered of them. */
export interface Block<E, T> {
  readonly entries: ReadonlyArray<E>
  readonly text: T
}

/**
 * Where an entry was found the last time. It is looked for there before it is searched for, in a later sequence too: most
 * changes leave all but a few entries where they are.
 */
export interface Spot {
  block: number
  index: number
}

/** A spot where nothing has been found yet. */
export const anySpot = (): Spot => ({ block: 0, index: 0 })

/** The index in `entries` of the first whose name is not before `name`, in code unit order. */
const indexOfName = (entries: ReadonlyArray<Named>, name: string): number => {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const entry = entries[middle]
    if (entry !== undefined && entry.name < name) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * A persistent sequence of uniquely named entries, sorted by name in code unit order and cut into blocks of at most 128,
 * each with a text that is rendered when the block changes. Each change gives a new sequence that shares all blocks but
 * the changed one, and costs the copy of that block and of the list of blocks.
 */
export class SortedBlocks<E extends Named, T> {
  readonly blocks: ReadonlyArray<Block<E, T>>
  /** How many entries there are. */
  readonly size: number
  private readonly rendering: Rendering<E, T>

  private constructor(blocks: ReadonlyArray<Block<E, T>>, size: number, rendering: Rendering<E, T>) {
    this.blocks = blocks
    this.size = size
    this.rendering = rendering
  }

  /** The sequence of `entries`, which are sorted by name and uniquely named. */
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

  /** The entry of this name, looked for at `spot` first, which then is where it was found. */
  get(name: string, spot?: Spot): E | undefined {
    if (spot !== undefined) {
      const there = this.blocks[spot.block]?.entries[spot.index]
      if (there?.name === name) return there
    }
    const block = this.indexOfBlock(name)
    const entries = this.blocks[block]?.entries
    if (entries === undefined) return undefined
    const index = indexOfName(entries, name)
    const entry = entries[index]
    if (entry?.name !== name) return undefined
    if (spot !== undefined) {
      spot.block = block
      spot.index = index
    }
    return entry
  }

  /** This sequence with `entry` added, or put in the place of the one of its name. */
  set(entry: E): SortedBlocks<E, T> {
    // A name past the last block's is appended to it.
    const at = Math.min(this.indexOfBlock(entry.name), Math.max(0, this.blocks.length - 1))
    const old = this.blocks[at]
    if (old === undefined) return new SortedBlocks([block([entry], this.rendering)], 1, this.rendering)
    const index = indexOfName(old.entries, entry.name)
    const held = old.entries[index]
    if (held?.name === entry.name) {
      const entries = old.entries.with(index, entry)
      const changed = { entries, text: this.rendering.rerender(old.text, entries, held, entry) }
      return new SortedBlocks(this.blocks.with(at, changed), this.size, this.rendering)
    }
    const entries = old.entries.toSpliced(index, 0, entry)
    const middle = entries.length >>> 1
    const parts = entries.length <= maxBlock ? [entries] : [entries.slice(0, middle), entries.slice(middle)]
    return this.splice(at, 1, parts, this.size + 1)
  }

  /** This sequence without the entry of this name. */
  remove(name: string): SortedBlocks<E, T> {
    const at = this.indexOfBlock(name)
    const old = this.blocks[at]
    if (old === undefined) return this
    const index = indexOfName(old.entries, name)
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

  /** The index of the first block that ends at or after `name`. */
  private indexOfBlock(name: string): number {
    let low = 0
    let high = this.blocks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const last = this.blocks[middle]?.entries.at(-1)
      if (last !== undefined && last.name < name) low = middle + 1
      else high = middle
    }
    return low
  }

  private splice(at: number, removed: number, parts: ReadonlyArray<ReadonlyArray<E>>, size: number) {
    const blocks = this.blocks.toSpliced(at, removed, ...parts.map((entries) => block(entries, this.rendering)))
    return new SortedBlocks(blocks, size, this.rendering)
  }
}

const block = <E, T>(entries: ReadonlyArray<E>, rendering: Rendering<E, T>): Block<E, T> => ({
  entries,
  text: rendering.render(entries)
})
