import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { DeploymentName, NamespaceName } from "../../src/contract/Names.ts"
import { maxReplicaCount } from "../../src/contract/Names.ts"
import { isOlder, ResourceVersion } from "../../src/model/ResourceVersion.ts"
import { ReplicaCountText } from "../../src/contract/Names.ts"

const accepts = (schema: Schema.Codec<unknown, unknown>, value: unknown) =>
  Result.isSuccess(Schema.decodeUnknownResult(schema)(value))

describe("names", () => {
  it("a namespace is a DNS-1123 label of at most 63 characters", () => {
    for (const name of ["a", "0", "kube-system", "a".repeat(63), "1-2"])
      assert.isTrue(accepts(NamespaceName, name), name)
    for (const name of ["", "-a", "a-", "A", "ANY", "a.b", "a_b", "ä", "a b", "a\n", "a".repeat(64), 1, null]) {
      assert.isFalse(accepts(NamespaceName, name), String(name))
    }
  })
  it("a deployment is a DNS-1123 subdomain of at most 253 characters", () => {
    for (const name of ["a", "a.b", "a-1.b-2", `${"a".repeat(63)}.b`, "a".repeat(253)]) {
      assert.isTrue(accepts(DeploymentName, name), name)
    }
    for (const name of ["", ".", "a.", ".a", "a..b", "a.-b", "A", "ANY", "a/b", "a\n", "a".repeat(254)]) {
      assert.isFalse(accepts(DeploymentName, name), name)
    }
  })
})

describe("replica counts in a path", () => {
  it("are decimal integers 0..2147483647 and nothing else", () => {
    for (const text of ["0", "1", "10", String(maxReplicaCount)]) assert.isTrue(accepts(ReplicaCountText, text), text)
    for (const text of ["", "-0", "+1", "00", "01", "1.0", "1e1", " 1", "1\n", "２", "2147483648", "9".repeat(40), 1]) {
      assert.isFalse(accepts(ReplicaCountText, text), String(text))
    }
  })
  it.prop(
    "come out as they went in",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: maxReplicaCount }))],
    ([count]) => {
      assert.strictEqual(Number(Schema.decodeUnknownSync(ReplicaCountText)(String(count))), count)
    }
  )
})

describe("resource versions", () => {
  const version = (text: string) => ResourceVersion.make(text)
  it.prop(
    "two decimal ones compare as numbers of any size",
    [
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1e15 })),
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1e15 }))
    ],
    ([a, b]) => {
      assert.strictEqual(isOlder(version(String(a)), version(String(b))), a < b)
      assert.strictEqual(isOlder(version(`${a}000000000000`), version(`${b}000000000000`)), a < b)
    }
  )
  it("of others nothing is known", () => {
    for (const [a, b] of [
      ["a", "b"],
      ["1", "b"],
      ["01", "2"],
      ["-1", "1"],
      ["1.0", "2"]
    ] as const) {
      assert.isFalse(isOlder(version(a), version(b)), `${a} ${b}`)
    }
  })
})
