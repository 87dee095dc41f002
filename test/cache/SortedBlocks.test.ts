import { describe, expect, it } from "@effect/vitest"
import { anySpot, type Rendering, SortedBlocks } from "../../src/cache/SortedBlocks.ts"

interface Entry {
  readonly name: string
  readonly value: number
}

const counted = () => {
  let renders = 0
  const rendering: Rendering<Entry, string> = {
    render: (entries) => {
      renders++
      return entries.map(({ name, value }) => `${name}=${value}`).join()
    },
    rerender: (text, entries, held, next) => (held.value === next.value ? text : rendering.render(entries))
  }
  return { rendering, renders: () => renders }
}

const entries = (count: number, value = 0): ReadonlyArray<Entry> =>
  Array.from({ length: count }, (_, index) => ({ name: `e${String(index).padStart(5, "0")}`, value }))

const textOf = (blocks: SortedBlocks<Entry, string>) => blocks.blocks.map(({ text }) => text).join()
const expected = (all: Iterable<Entry>) => Array.from(all, ({ name, value }) => `${name}=${value}`).join()

describe("SortedBlocks", () => {
  it("sorts entries by code unit, for any order of insertion", () => {
    const names = ["b", "a.b", "a-b", "a", "a0", "ab", "0", "9", "10", "a-", "a.0"]
    const { rendering } = counted()
    let blocks = SortedBlocks.from<Entry, string>([], rendering)
    for (const name of names) blocks = blocks.set({ name, value: 0 })
    expect([...blocks].map(({ name }) => name)).toEqual([
      "0",
      "10",
      "9",
      "a",
      "a-",
      "a-b",
      "a.0",
      "a.b",
      "a0",
      "ab",
      "b"
    ])
  })

  it("finds its entries and no others, at sizes around a split", () => {
    const { rendering } = counted()
    for (const count of [0, 1, 127, 128, 129, 192, 193, 1000]) {
      const blocks = SortedBlocks.from(entries(count), rendering)
      expect(blocks.size).toBe(count)
      expect(entries(count).every((entry) => blocks.get(entry.name)?.name === entry.name)).toBe(true)
      expect([blocks.get(""), blocks.get("e00000-"), blocks.get("z")]).toEqual([undefined, undefined, undefined])
    }
  })

  it("finds an entry at its last spot, and wherever it has moved", () => {
    const { rendering } = counted()
    const spot = anySpot()
    let blocks = SortedBlocks.from(entries(300), rendering)
    const found = (name: string) => blocks.get(name, spot)?.value
    expect([found("e00200"), found("e00200"), found("absent"), found("e00200")]).toEqual([0, 0, undefined, 0])
    // Changes in place, additions and removals before it, a split of its block, the removal of all earlier blocks.
    blocks = blocks.set({ name: "e00200", value: 1 })
    expect(found("e00200")).toBe(1)
    for (let each = 0; each < 200; each++) blocks = blocks.set({ name: `e00199-${each}`, value: 2 })
    expect(found("e00200")).toBe(1)
    for (let each = 0; each < 200; each++) blocks = blocks.remove(`e${String(each).padStart(5, "0")}`)
    expect(found("e00200")).toBe(1)
    blocks = blocks.remove("e00200")
    expect(found("e00200")).toBe(undefined)
    // Another entry at its last spot is not taken for it.
    blocks = SortedBlocks.from(entries(300), rendering)
    expect(blocks.get("e00007", spot)?.name).toBe("e00007")
    expect(SortedBlocks.from<Entry, string>([], rendering).get("e00007", spot)).toBe(undefined)
  })

  it("splits a block of more than 128 entries, and joins small blocks", () => {
    const { rendering } = counted()
    let blocks = SortedBlocks.from<Entry, string>([], rendering)
    for (const entry of entries(2000)) blocks = blocks.set(entry)
    expect(Math.max(...blocks.blocks.map((block) => block.entries.length))).toBeLessThanOrEqual(128)
    const most = blocks.blocks.length
    for (const [index, entry] of entries(2000).entries()) if (index % 20 !== 0) blocks = blocks.remove(entry.name)
    expect(blocks.size).toBe(100)
    expect(blocks.blocks.length).toBeLessThan(most / 4)
    expect(textOf(blocks)).toBe(expected(entries(2000).filter((_, index) => index % 20 === 0)))
  })

  it("renders only a changed block, and only if its text changes", () => {
    const { rendering, renders } = counted()
    const before = SortedBlocks.from(entries(1000), rendering)
    const built = renders()
    const touched = before.set({ name: "e00500", value: 0 })
    expect(renders() - built).toBe(0)
    const changed = touched.set({ name: "e00500", value: 7 })
    expect(renders() - built).toBe(1)
    const shared = changed.blocks.filter((block) => before.blocks.includes(block))
    expect(shared.length).toBe(before.blocks.length - 1)
    expect(textOf(changed)).toBe(textOf(before).replace("e00500=0", "e00500=7"))
  })

  it("leaves the previous sequence unchanged", () => {
    const { rendering } = counted()
    const before = SortedBlocks.from(entries(300), rendering)
    before.set({ name: "new", value: 1 })
    before.remove("e00000")
    expect([before.size, textOf(before)]).toEqual([300, expected(entries(300))])
  })

  it("returns itself when the removed entry does not exist", () => {
    const blocks = SortedBlocks.from(entries(10), counted().rendering)
    expect(blocks.remove("e00003-")).toBe(blocks)
    expect(blocks.remove("z")).toBe(blocks)
  })
})
