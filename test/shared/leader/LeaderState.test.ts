import { assert, describe, it } from "@effect/vitest"
import * as LeaderState from "../../../src/shared/leader/LeaderState.ts"
import { watchScopesOf } from "../../../src/shared/WatchScope.ts"
import * as Given from "../../cache/Given.ts"

describe("the state of a leader", () => {
  it("moves the age of the hash in use only with its content, not while the next list is being written", () => {
    const ages = (state: LeaderState.State, now: number) =>
      LeaderState.beatChanges(state, now).map(({ agoMillis, generation }) => [generation, agoMillis])
    const initial = LeaderState.initial("me", watchScopesOf(undefined), false)
    const first = LeaderState.committed(LeaderState.begun(initial), "namespaces", {
      generation: "one",
      version: Given.rv(7),
      heardAt: 0
    })
    assert.deepStrictEqual(ages(first, 1000), [["one", 1000]])
    const second = LeaderState.begun(first)
    assert.deepStrictEqual(ages(second, 6000), [["one", 6000]])
    const next = { generation: "two", version: Given.rv(8), heardAt: 5000 }
    assert.deepStrictEqual(ages(LeaderState.committed(second, "namespaces", next), 6000), [["two", 1000]])
  })
})
