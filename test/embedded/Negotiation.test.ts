import { assert, describe, it } from "@effect/vitest"
import type { RequestVerb } from "../../src/embedded/KubeRoute.ts"
import { json } from "../../src/embedded/wire/JsonEncoding.ts"
import { encodingsOf, negotiate } from "../../src/embedded/wire/Negotiation.ts"
import { protobuf } from "../../src/embedded/wire/ProtobufEncoding.ts"

const type = "application/vnd.kubernetes.protobuf"
const watched = `${type};stream=watch`

const cases: ReadonlyArray<readonly [verb: RequestVerb, accept: string, chosen: "json" | "protobuf" | "none"]> = [
  ["list", "", "json"],
  ["watch", "", "json"],
  ["list", "*/*", "json"],
  ["list", "application/*", "json"],
  ["list", "application/json", "json"],
  ["list", type, "protobuf"],
  ["watch", type, "protobuf"],
  ["list", `${type},application/json`, "protobuf"],
  ["list", `application/json,${type}`, "json"],
  ["list", ` ${type.toUpperCase()} , application/json `, "protobuf"],
  ["list", `*/*,${type}`, "protobuf"],
  ["list", `application/*, ${type}`, "protobuf"],
  ["list", `${type};q=0.5,application/json`, "json"],
  ["list", `${type}; q=0.5, application/json; q=0.4`, "protobuf"],
  ["list", `${type};q=much,application/json;q=0.9`, "protobuf"],
  ["watch", `${watched},application/json`, "protobuf"],
  ["watch", `${type}; stream=watch; charset=utf-8`, "protobuf"],
  ["watch", `application/json;stream=watch,${type}`, "json"],
  ["watch", `${type};stream=other,application/json`, "json"],
  ["watch", `${type};stream=other`, "none"],
  ["list", `${watched},application/json`, "json"],
  ["list", watched, "none"],
  ["list", "application/json;as=Table;g=meta.k8s.io;v=v1, application/json", "json"],
  ["list", `application/json;as=Table;g=meta.k8s.io;v=v1,${type}`, "protobuf"],
  ["list", "application/json;as=Table;g=meta.k8s.io;v=v1", "none"],
  ["list", "application/yaml", "none"],
  ["list", "text/html,application/yaml;q=0.9", "none"],
  ["get", `${type},application/json`, "json"],
  ["patch", `${type},application/json`, "json"],
  ["get", type, "none"]
]

const named = { json, protobuf, none: undefined }

describe("content negotiation", () => {
  it.each(cases)("%s with Accept: %s is answered in %s", (verb, accept, chosen) => {
    assert.strictEqual(negotiate(accept, verb, encodingsOf(verb, true)), named[chosen])
  })

  it("without protobuf is answered in JSON or not at all", () => {
    assert.strictEqual(negotiate(`${type},application/json`, "list", encodingsOf("list", false)), json)
    assert.strictEqual(negotiate(`${watched},*/*`, "watch", encodingsOf("watch", false)), json)
    assert.isUndefined(negotiate(type, "list", encodingsOf("list", false)))
  })
})
