import { assert, describe, it } from "@effect/vitest"
import { clientAddress } from "../../src/identity/ClientAddress.ts"

describe("clientAddress", () => {
  for (const [remoteAddress, expected] of [
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::ffff", "2001:db8:1:2::/64"],
    ["2001:DB8:1:3::1", "2001:db8:1:3::/64"],
    ["::1", "::/64"],
    ["fe80::1%eth0", "fe80::/64"],
    ["not an:address", "unknown"],
    [undefined, "unknown"]
  ] as const) {
    it(String(remoteAddress), () => assert.strictEqual(clientAddress(remoteAddress), expected))
  }
})
