/** Compares the embedded cluster's protobuf, decoded with descriptors, with its JSON. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { EmbeddedKube, type EmbeddedKubeOptions } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { readEvent, readFrames, readObject, readUnknown } from "../support/ProtobufSchema.ts"
import { send } from "./WireClient.ts"

const namespaces = "/api/v1/namespaces"
const deployments = "/apis/apps/v1/deployments"
const type = "application/vnd.kubernetes.protobuf"
const asList = { headers: { accept: `${type},application/json` } }
const asWatch = { headers: { accept: `${type};stream=watch,application/json` } }
const initialEvents = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"

const served = (options: EmbeddedKubeOptions = {}) => Effect.provide(EmbeddedKube.layer({ seed: demoSeed, ...options }))

const JsonObject = Schema.Record(Schema.String, Schema.Json)
const isObject = Schema.is(JsonObject)
const decodeObject = Schema.decodeUnknownSync(JsonObject)
const decodeJson = Schema.decodeUnknownSync(Schema.fromJsonString(JsonObject))

const timeOf = ({ seconds = "" }: typeof JsonObject.Type) =>
  `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}Z`

const int64s = new Set(["generation", "observedGeneration", "remainingItemCount"])
const times = new Set(["creationTimestamp", "deletionTimestamp", "time"])

/**
 * The JSON that Go writes for a value. An empty value is undefined, except a count in a spec, which is a pointer in Go. An
 * absent time, which Go writes as null, is undefined.
 */
const jsonOf = (value: Schema.Json, name: string, parent: string): Schema.Json | undefined => {
  if (int64s.has(name)) return jsonOf(Number(value), "", "")
  if (value === "" || value === false) return undefined
  if (value === 0) return name === "replicas" && parent === "spec" ? 0 : undefined
  if (Array.isArray(value)) return value.map((item: Schema.Json) => jsonOf(item, "", "") ?? null)
  if (!isObject(value)) return value
  if (times.has(name)) return "seconds" in value ? timeOf(value) : undefined
  if (name === "fieldsV1") return decodeJson(Buffer.from(String(value["Raw"]), "base64").toString())
  if ("strVal" in value) return value["strVal"]
  const members = Object.entries(value).flatMap(([key, member]) => {
    const json = jsonOf(member, key, name)
    return json === undefined ? [] : [[key, json] as const]
  })
  return Object.fromEntries(members)
}

/** The JSON of a standalone object. */
const objectOf = (bytes: Uint8Array): typeof JsonObject.Type => ({
  ...readUnknown(bytes).typeMeta,
  ...decodeObject(jsonOf(readObject(bytes).object, "", ""))
})

/** The JSON of the embedded cluster, without absent times. */
const expectedOf = (text: string) => decodeJson(text.replaceAll('"creationTimestamp":null,', ""))

describe("lists in protobuf", () => {
  for (const path of [namespaces, deployments, `${deployments}?limit=3`]) {
    it.live(`have the content of the JSON: ${path}`, () =>
      Effect.gen(function* () {
        const { cluster } = yield* EmbeddedKube
        yield* cluster.putDeployment("default", "plain", undefined)
        yield* cluster.putDeployment("default", "none", 0)
        yield* cluster.putDeployment("default", "negative", -1)
        yield* cluster.putDeployment("default", "most", 2_147_483_647)
        yield* cluster.seedMany(1, 3, { padding: 3000 })
        const answer = yield* send(path, asList)
        assert.strictEqual(answer.headers["content-type"], type)
        const expected = yield* send(path)
        assert.strictEqual(expected.headers["content-type"], "application/json")
        assert.deepStrictEqual(objectOf(answer.bytes), expectedOf(expected.text))
      }).pipe(served())
    )
  }

  it.live("begin with the magic bytes, and write empty strings as Go does", () =>
    Effect.gen(function* () {
      const { bytes } = yield* send("/apis/apps/v1/namespaces/default/deployments", asList)
      const { resourceVersion } = yield* (yield* EmbeddedKube).snapshot
      const version = Buffer.from(resourceVersion).toString("hex")
      const length = (resourceVersion.length + 6).toString(16).padStart(2, "0")
      assert.strictEqual(
        Buffer.from(bytes).toString("hex"),
        "6b387300" +
          `0a190a07${Buffer.from("apps/v1").toString("hex")}120e${Buffer.from("DeploymentList").toString("hex")}` +
          `12${(resourceVersion.length + 8).toString(16).padStart(2, "0")}0a${length}` +
          `0a0012${resourceVersion.length.toString(16).padStart(2, "0")}${version}1a00` +
          "1a002200"
      )
    }).pipe(served())
  )

  it.live("of many padded objects are complete, and have the length that they announce", () =>
    Effect.gen(function* () {
      yield* (yield* EmbeddedKube).cluster.seedMany(3, 500, { padding: 3000 })
      const { bytes } = yield* send(deployments, asList)
      const { items } = objectOf(bytes)
      assert.strictEqual(Array.isArray(items) ? items.length : undefined, 1500)
      assert.isAbove(bytes.length / 1500, 3000)
      assert.isBelow(bytes.length / 1500, 4000)
    }).pipe(served({ seed: {} }))
  )

  it.live("are not offered by a server without protobuf", () =>
    Effect.gen(function* () {
      const list = yield* send(namespaces, asList)
      assert.deepStrictEqual([list.status, list.headers["content-type"]], [200, "application/json"])
      assert.strictEqual((yield* send(namespaces, { headers: { accept: type } })).status, 406)
    }).pipe(served({ protobuf: false }))
  )
})

describe("watches in protobuf", () => {
  for (const path of [namespaces, deployments]) {
    it.live(`have the events of the JSON: ${path}`, () =>
      Effect.gen(function* () {
        const { cluster } = yield* EmbeddedKube
        yield* cluster.putDeployment("default", "negative", -1)
        const watched = `${path}?${initialEvents}&timeoutSeconds=1`
        const [answer, expected] = yield* Effect.all([send(watched, asWatch), send(watched)], { concurrency: 2 })
        assert.strictEqual(answer.headers["content-type"], `${type};stream=watch`)
        assert.strictEqual(expected.headers["content-type"], "application/json")
        const events = readFrames(answer.bytes).map((frame) => {
          const { object, type } = readEvent(frame)
          return { type, object: objectOf(object) }
        })
        assert.deepStrictEqual(events, expected.text.trimEnd().split("\n").map(expectedOf))
      }).pipe(served())
    )
  }

  it.live("reject a compacted version by an ERROR event with a Status", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      yield* kube.cluster.scale("personal", "nginx", 1)
      yield* kube.compact
      const { bytes, headers, status } = yield* send(`${deployments}?watch=1&resourceVersion=2`, asWatch)
      assert.deepStrictEqual([status, headers["content-type"]], [200, `${type};stream=watch`])
      const [event] = readFrames(bytes).map(readEvent)
      assert(event !== undefined)
      assert.strictEqual(event.type, "ERROR")
      const { code, kind, reason, status: failure } = objectOf(event.object)
      assert.deepStrictEqual([kind, failure, reason, code], ["Status", "Failure", "Expired", 410])
    }).pipe(served())
  )
})

describe("errors in protobuf", () => {
  it.live("are a Status with the content of the JSON", () =>
    Effect.gen(function* () {
      const { compact } = yield* EmbeddedKube
      const first = yield* send(`${deployments}?limit=1`)
      const token = /"continue":"([^"]+)"/.exec(first.text)?.[1] ?? ""
      yield* compact
      for (const path of [
        `${deployments}?resourceVersion=99999`,
        `${deployments}?watch=1&resourceVersion=99999`,
        `${deployments}?continue=${token}`,
        `${deployments}?labelSelector=a`,
        `${deployments}?sendInitialEvents=true`
      ]) {
        const answer = yield* send(path, { headers: { accept: type } })
        const expected = yield* send(path)
        assert.strictEqual(answer.status, expected.status, path)
        assert.strictEqual(answer.headers["content-type"], type)
        assert.strictEqual(answer.headers["retry-after"], expected.headers["retry-after"])
        assert.deepStrictEqual(objectOf(answer.bytes), expectedOf(expected.text), path)
      }
    }).pipe(served())
  )

  it.live("of negotiation, and of requests that are answered in JSON, are in JSON", () =>
    Effect.gen(function* () {
      const yaml = yield* send(deployments, { headers: { accept: "application/yaml" } })
      assert.deepStrictEqual([yaml.status, yaml.headers["content-type"]], [406, "application/json"])
      assert.include(yaml.text, `"reason":"NotAcceptable"`)
      const missing = yield* send(`${namespaces}/absent`, asList)
      assert.deepStrictEqual([missing.status, missing.headers["content-type"]], [404, "application/json"])
    }).pipe(served())
  )
})
