import { assert, describe, it } from "@effect/vitest"
import * as DistinctUsers from "../../src/observability/DistinctUsers.ts"

const hour = 3_600_000
const start = 490_000 * hour

const after = (users: Iterable<string>, atMillis = start) => {
  const counted = DistinctUsers.make()
  for (const user of users) counted.seen(user, atMillis)
  return counted
}

const named = (count: number) => Array.from({ length: count }, (_, at) => `user-${at}`)

describe("DistinctUsers", () => {
  it("counts no users as 0", () => assert.strictEqual(after([]).count(23, start), 0))

  it("counts each user once, however often it comes", () => {
    for (const count of [1, 2, 10, 100, 1000, 10_000, DistinctUsers.maxUsers]) {
      assert.strictEqual(after([...named(count), ...named(count)]).count(23, start), count)
    }
  })

  it("counts no users beyond the bound until others have left the longest window", () => {
    const users = after(named(DistinctUsers.maxUsers))
    users.seen("one more", start)
    assert.strictEqual(users.count(23, start), DistinctUsers.maxUsers)
    users.seen("user-0", start + hour)
    assert.strictEqual(users.count(0, start + hour), 1)
    users.seen("one more", start + 24 * hour)
    assert.strictEqual(users.count(23, start + 24 * hour), 2)
  })

  it("does not count users that were last seen before the window", () => {
    const users = after(["early"])
    users.seen("late", start + 3 * hour)
    assert.strictEqual(users.count(1, start + 3 * hour), 1)
    assert.strictEqual(users.count(23, start + 3 * hour), 2)
    assert.strictEqual(users.count(23, start + 23 * hour), 2)
    assert.strictEqual(users.count(23, start + 24 * hour), 1)
    assert.strictEqual(users.count(23, start + 40 * hour), 0)
  })

  it("counts a user once that comes in two hours of the window", () => {
    const users = after(["again"])
    users.seen("again", start + hour)
    assert.strictEqual(users.count(1, start + hour), 1)
  })
})
