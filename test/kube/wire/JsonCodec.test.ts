import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { decodeListPage, decodeWatchEvent, readPage } from "../../../src/kube/wire/JsonCodec.ts"
import { deployments } from "../../../src/kube/wire/ResourceKind.ts"

const metadata = { namespace: "personal", name: "nginx", resourceVersion: "7" }
const undecodable = { key: "personal/nginx", message: "an invalid or absent replicas" }

describe("a deployment in JSON", () => {
  it.each([7, "no object", true])("keeps its key if its spec is %j", (spec) => {
    assert.deepStrictEqual(
      Result.getOrThrow(decodeWatchEvent(deployments, { type: "MODIFIED", object: { metadata, spec } })),
      { _tag: "Undecodable", ...undecodable }
    )
    assert.deepStrictEqual(
      Result.getOrThrow(
        decodeListPage(deployments, { metadata: { resourceVersion: "9" }, items: [{ metadata, spec }] })
      ).undecodable,
      [undecodable]
    )
  })

  it("can be deleted, whatever its spec", () => {
    const event = Result.getOrThrow(decodeWatchEvent(deployments, { type: "DELETED", object: { metadata, spec: 7 } }))
    assert.deepInclude(event, { _tag: "Deleted" })
  })

  it("has one replica without a spec or a count", () => {
    for (const spec of [undefined, null, {}, { replicas: null }]) {
      assert.deepStrictEqual(
        Result.getOrThrow(decodeWatchEvent(deployments, { type: "ADDED", object: { metadata, spec } })),
        Result.getOrThrow(decodeWatchEvent(deployments, { type: "ADDED", object: { metadata, spec: { replicas: 1 } } }))
      )
    }
  })
})

describe("a list in JSON", () => {
  const whole = Buffer.from(JSON.stringify({ metadata: { resourceVersion: "9" }, items: [{ metadata }] }))

  it("cannot be read if it is too long for a string, which is no defect", () => {
    for (const [limit, failure] of [
      [whole.length, `a list of ${whole.length} characters or more`],
      [whole.length + 1, undefined]
    ] as const) {
      const reader = readPage(deployments, limit)
      assert.isUndefined(reader.push(whole.subarray(0, 20)))
      assert.strictEqual(reader.push(whole.subarray(20)), failure)
      if (failure === undefined) assert.lengthOf(Result.getOrThrow(reader.end()).items, 1)
    }
  })
})
