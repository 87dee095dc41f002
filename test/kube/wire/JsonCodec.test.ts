import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { decodeListPage, decodeWatchEvent } from "../../../src/kube/wire/JsonCodec.ts"
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
