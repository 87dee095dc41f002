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
  it("counts nobody as none", () => assert.strictEqual(after([]).count(23, start), 0))

  it("counts few users to one or two, however often each comes", () => {
    for (const count of [1, 2, 10]) {
      assert.strictEqual(after([...named(count), ...named(count)]).count(23, start), count)
    }
    assert.approximately(after([...named(100), ...named(100)]).count(23, start), 100, 2)
  })

  it("counts many users within 5 %", () => {
    for (const count of [1000, 10_000, 100_000]) {
      assert.approximately(after(named(count)).count(23, start), count, count * 0.05)
    }
  })

  it("forgets those who have not come within the window", () => {
    const users = after(["early"])
    users.seen("late", start + 3 * hour)
    assert.strictEqual(users.count(1, start + 3 * hour), 1)
    assert.strictEqual(users.count(23, start + 3 * hour), 2)
    assert.strictEqual(users.count(23, start + 23 * hour), 2)
    assert.strictEqual(users.count(23, start + 24 * hour), 1)
    assert.strictEqual(users.count(23, start + 40 * hour), 0)
  })

  it("counts one who comes in two hours of the window once", () => {
    const users = after(["again"])
    users.seen("again", start + hour)
    assert.strictEqual(users.count(1, start + hour), 1)
  })
})
