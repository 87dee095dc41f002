import { assert, describe, it } from "@effect/vitest"
import * as HandshakeDebts from "../../src/limits/HandshakeDebts.ts"

const hostile = 104_000
const seconds = 1000

describe("HandshakeDebts", () => {
  it("refuses an address after one large handshake, and others never", () => {
    const debts = HandshakeDebts.make(10)
    assert.isTrue(debts.charge("a", hostile, 0))
    assert.isTrue(debts.refuses("a", 1))
    assert.isFalse(debts.refuses("b", 1))
  })

  it("sums up small ones, and reports only the one that exceeds the limit", () => {
    const debts = HandshakeDebts.make(10)
    const reports = Array.from({ length: 20 }, () => debts.charge("a", 1500, 0))
    assert.strictEqual(reports.indexOf(true), 3)
    assert.strictEqual(reports.lastIndexOf(true), 3)
    assert.isTrue(debts.refuses("a", 0))
  })

  it("tolerates a client with an untrusted certificate that connects once in five seconds", () => {
    const debts = HandshakeDebts.make(10)
    for (let at = 0; at < 1000; at++) {
      debts.charge("a", 4000, at * 5 * seconds)
      assert.isFalse(debts.refuses("a", at * 5 * seconds))
    }
  })

  it("releases an address when its debt is paid, after ten minutes at the latest", () => {
    const debts = HandshakeDebts.make(10)
    debts.charge("a", hostile, 0)
    for (let i = 0; i < 100; i++) debts.charge("b", hostile, 0)
    assert.isFalse(debts.refuses("a", 100 * seconds))
    assert.isFalse(debts.refuses("a", 100 * seconds))
    assert.isFalse(debts.refuses("b", 500 * seconds))
    assert.isTrue(debts.refuses("b", 500 * seconds))
    assert.isFalse(debts.refuses("b", 600 * seconds))
    assert.isFalse(debts.refuses("b", 600 * seconds))
  })

  it("admits one connection in two seconds from an address in debt", () => {
    const debts = HandshakeDebts.make(10)
    debts.charge("a", hostile, 0)
    let admitted = 0
    for (let now = 1; now <= 20 * seconds; now += 10) if (!debts.refuses("a", now)) admitted++
    assert.strictEqual(admitted, 9)
  })

  it("bounds its memory and forgets paid debts first", () => {
    const debts = HandshakeDebts.make(50)
    for (let i = 0; i < 10_000; i++) debts.charge(`address ${i}`, hostile, 0)
    assert.strictEqual(debts.size(), 50)
    assert.isFalse(debts.refuses("address 0", 0))
    assert.isTrue(debts.refuses("address 9999", 0))
    debts.charge("later", hostile, 1000 * seconds)
    assert.strictEqual(debts.size(), 1)
  })
})
