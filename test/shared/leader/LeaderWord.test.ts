import { assert, describe, it } from "@effect/vitest"
import * as LeaderWord from "../../../src/shared/leader/LeaderWord.ts"

/** The word after these steps, each with its time. */
const after = (
  ...steps: ReadonlyArray<readonly [(word: LeaderWord.LeaderWord, now: number) => LeaderWord.LeaderWord, number]>
) => steps.reduce((word, [step, now]) => step(word, now), LeaderWord.initial(1))

const { asOf, begun, taken, ticked, told } = LeaderWord

describe("the time of a leader's word", () => {
  it("is now while the leader waits for events", () => {
    assert.strictEqual(asOf(after([begun, 1000]), 5000), 5000)
    assert.strictEqual(asOf(after([begun, 1000], [taken, 2000], [told, 2500]), 5000), 5000)
  })

  it("is when events were taken while they are being written, for others may wait behind them", () => {
    assert.strictEqual(asOf(after([begun, 1000], [taken, 2000]), 5000), 2000)
  })

  it("is when the events before were taken if the next ones waited for them", () => {
    const busy = after([begun, 1000], [taken, 2000], [told, 4000], [taken, 4000])
    assert.strictEqual(asOf(busy, 4500), 2000)
    assert.strictEqual(asOf(told(busy, 4500), 4500), 2000)
    assert.strictEqual(asOf(told(busy, 4500), 4502), 4502)
  })

  it("is when earlier events were taken while the source hands over what it fetched before", () => {
    // When events are taken, the source fetches the next ones at once. What arrives after that waits behind those.
    const first = after([begun, 1000], [taken, 2000], [told, 7000], [taken, 7000])
    const second = taken(told(first, 7500), 7500)
    assert.strictEqual(asOf(second, 8000), 2000)
    const third = taken(told(second, 8000), 8000)
    assert.strictEqual(asOf(third, 8500), 7000)
    assert.strictEqual(asOf(told(third, 8500), 8502), 8502)
  })

  it("is before a pause of the process until it has run on time again", () => {
    const before = after([begun, 1000], [ticked, 1100], [ticked, 1200])
    assert.strictEqual(asOf(before, 1300), 1300)
    assert.strictEqual(asOf(before, 6200), 1200)
    const late = ticked(before, 6210)
    assert.strictEqual(asOf(late, 6250), 1200)
    assert.strictEqual(asOf(ticked(late, 6310), 6350), 6350)
  })
})
