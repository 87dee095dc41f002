import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { sendFor } from "./WireClient.ts"

const scale = "/apis/apps/v1/namespaces/personal/deployments/nginx/scale"

const served = Effect.provide(EmbeddedKube.layer({ seed: demoSeed }))

const merge = (body: string, query = "") => request("application/merge-patch+json", body, query)
const patch = (operations: unknown, query = "") =>
  request("application/json-patch+json", JSON.stringify(operations), query)
const request = (type: string, body: string, query: string) =>
  sendFor(`${scale}${query}`, { method: "PATCH", headers: { "content-type": type }, body })

const testing = (value: unknown) => ({ op: "test", path: "/spec/replicas", value })
const adding = (value: unknown) => ({ op: "add", path: "/spec/replicas", value })

/** The count of nginx and the version of its deployment in the store. */
const stored = Effect.gen(function* () {
  const { deployments } = yield* (yield* EmbeddedKube).snapshot
  return deployments.find(({ name }) => name === "nginx")
})

const inapplicable = {
  code: 422,
  reason: "Invalid",
  message: "the server rejected our request due to an error in our request"
}

describe("a JSON Patch of a scale", () => {
  it.live("sets the count if the test holds, and changes nothing otherwise", () =>
    Effect.gen(function* () {
      const set = yield* patch([testing(12), adding(38)])
      assert.deepStrictEqual([set.status, set.object.spec?.replicas], [200, 38])
      const before = yield* stored
      assert.strictEqual(before?.replicas, 38)
      const failed = yield* patch([testing(12), adding(5)])
      assert.strictEqual(failed.status, 422)
      assert.deepInclude(failed.object, { kind: "Status", ...inapplicable })
      assert.deepStrictEqual(yield* stored, before)
    }).pipe(served)
  )

  it.live("sees a count of 0 as absent: test null and add work, replace and remove fail", () =>
    Effect.gen(function* () {
      const { cluster } = yield* EmbeddedKube
      yield* cluster.scale("personal", "nginx", 0)
      for (const operations of [
        [testing(0), adding(3)],
        [{ op: "replace", path: "/spec/replicas", value: 3 }],
        [{ op: "remove", path: "/spec/replicas" }]
      ]) {
        assert.strictEqual((yield* patch(operations)).status, 422, JSON.stringify(operations))
      }
      assert.strictEqual((yield* stored)?.replicas, 0)
      assert.strictEqual((yield* patch([testing(null), adding(3)])).object.spec?.replicas, 3)
      assert.strictEqual((yield* patch([testing(null), adding(4)])).status, 422)
      assert.strictEqual((yield* stored)?.replicas, 3)
    }).pipe(served)
  )

  it.live("replaces, removes, copies and moves", () =>
    Effect.gen(function* () {
      yield* patch([{ op: "replace", path: "/spec/replicas", value: 4 }])
      assert.strictEqual((yield* stored)?.replicas, 4)
      yield* patch([
        { op: "copy", from: "/spec/replicas", path: "/spec/other" },
        { op: "remove", path: "/spec/replicas" }
      ])
      assert.strictEqual((yield* stored)?.replicas, 0)
      yield* patch([adding(6), { op: "move", from: "/spec/replicas", path: "/metadata/x" }])
      assert.strictEqual((yield* stored)?.replicas, 0)
      assert.strictEqual((yield* patch([adding(7)])).object.spec?.replicas, 7)
      assert.strictEqual((yield* patch([])).object.spec?.replicas, 7)
    }).pipe(served)
  )

  it.live("makes no new version if the count stays the same", () =>
    Effect.gen(function* () {
      const before = yield* stored
      assert.strictEqual((yield* patch([testing(12), adding(12)])).status, 200)
      assert.deepStrictEqual(yield* stored, before)
    }).pipe(served)
  )

  it.live.each([
    [422, [{ op: "frobnicate", path: "/spec/replicas", value: 1 }]],
    [422, [{ path: "/spec/replicas", value: 1 }]],
    [422, [{ op: "add", value: 1 }]],
    [422, [{ op: "add", path: "/nothing/replicas", value: 1 }]],
    [422, [{ op: "add", path: "spec/replicas", value: 1 }]],
    [422, [{ op: "test", path: "/spec/replicas/deeper", value: 1 }]],
    [422, [{ op: "test", path: "/kind", value: "Deployment" }]],
    [422, [{ op: "copy", path: "/spec/replicas" }]],
    [422, [{ op: "move", from: "/spec/absent", path: "/spec/replicas" }]],
    [422, [adding("many")]],
    [422, [adding(1.5)]],
    [422, [adding(-1)]],
    [422, [adding(2_147_483_648)]],
    [422, [{ op: "remove", path: "" }]],
    [422, [{ op: "add", path: "", value: [] }]],
    [409, [{ op: "add", path: "/metadata/resourceVersion", value: "1" }]],
    [413, Array.from({ length: 10_001 }, () => testing(12))],
    [400, { op: "add", path: "/spec/replicas", value: 1 }],
    [400, "text"],
    [400, [1]]
  ] as const)("is refused with %s: %j", ([status, operations]) =>
    Effect.gen(function* () {
      const before = yield* stored
      const answer = yield* patch(operations)
      assert.deepStrictEqual([answer.status, answer.object.kind, answer.object.code], [status, "Status", status])
      assert.deepStrictEqual(yield* stored, before)
    }).pipe(served)
  )

  it.live("is refused with 400 if it is not JSON, and 404 for an absent deployment", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* request("application/json-patch+json", "[", "")).status, 400)
      yield* (yield* EmbeddedKube).cluster.deleteDeployment("personal", "nginx")
      assert.strictEqual((yield* patch([testing(12), adding(1)])).status, 404)
    }).pipe(served)
  )

  it.live("is atomic: of concurrent patches with the same test, one succeeds", () =>
    Effect.gen(function* () {
      const answers = yield* Effect.forEach(
        Array.from({ length: 50 }, (_, at) => at + 100),
        (count) => patch([testing(12), adding(count)]),
        { concurrency: "unbounded" }
      )
      const accepted = answers.filter(({ status }) => status === 200)
      assert.strictEqual(accepted.length, 1)
      assert.strictEqual(answers.filter(({ status }) => status === 422).length, 49)
      assert.strictEqual((yield* stored)?.replicas, accepted[0]?.object.spec?.replicas)
    }).pipe(served)
  )
})

describe("a dry run", () => {
  it.live("responds with the object as it would be, and changes nothing", () =>
    Effect.gen(function* () {
      const before = yield* stored
      for (const answer of [
        yield* merge('{"spec":{"replicas":5}}', "?dryRun=All"),
        yield* patch([testing(12), adding(5)], "?fieldManager=test&dryRun=All"),
        yield* patch([testing(12), adding(5)], "?dryRun=All&dryRun=All")
      ]) {
        assert.deepStrictEqual([answer.status, answer.object.spec?.replicas], [200, 5])
        assert.strictEqual(answer.object.metadata.resourceVersion, before?.resourceVersion)
      }
      assert.deepStrictEqual(yield* stored, before)
    }).pipe(served)
  )

  it.live("validates as a write does", () =>
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      assert.strictEqual((yield* patch([testing(11), adding(5)], "?dryRun=All")).status, 422)
      assert.strictEqual((yield* merge('{"spec":{"replicas":-1}}', "?dryRun=All")).status, 422)
      yield* faults.denyScales({ status: 422, message: "too many" })
      assert.strictEqual((yield* merge('{"spec":{"replicas":5}}', "?dryRun=All")).status, 422)
    }).pipe(served)
  )

  it.live.each(["?dryRun=", "?dryRun=all", "?dryRun=true", "?dryRun=All&dryRun=None"])("refuses %s with 422", (query) =>
    Effect.gen(function* () {
      const before = yield* stored
      const { object, status } = yield* merge('{"spec":{"replicas":5}}', query)
      assert.deepStrictEqual([status, object.reason], [422, "Invalid"])
      assert.include(object.message, 'PatchOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: []string{')
      assert.deepStrictEqual(yield* stored, before)
    }).pipe(served)
  )
})

describe("an admission webhook", () => {
  it.live("denies with its own status a write that is valid otherwise, until it is removed", () =>
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      yield* faults.denyScales({ status: 422, message: "at most 10 replicas" })
      const before = yield* stored
      for (const answer of [yield* patch([testing(12), adding(38)]), yield* merge('{"spec":{"replicas":38}}')]) {
        assert.strictEqual(answer.status, 422)
        assert.deepInclude(answer.object, {
          reason: "Invalid",
          message: 'admission webhook "replicas.example.com" denied the request: at most 10 replicas'
        })
      }
      assert.deepInclude((yield* patch([testing(1), adding(38)])).object, inapplicable)
      assert.deepStrictEqual(yield* stored, before)
      yield* faults.denyScales(undefined)
      assert.strictEqual((yield* patch([testing(12), adding(38)])).status, 200)
      yield* faults.denyScales({ status: 403, message: "frozen" })
      yield* faults.reset
      assert.strictEqual((yield* merge('{"spec":{"replicas":5}}')).status, 200)
    }).pipe(served)
  )
})

describe("access to a scale", () => {
  it.live("takes get for GET and patch for PATCH on deployments/scale", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const rule = (verb: "get" | "patch") => [{ apiGroups: ["apps"], resources: ["deployments/scale"], verbs: [verb] }]
      yield* kube.setRules(rule("patch"))
      assert.strictEqual((yield* patch([testing(12), adding(5)])).status, 200)
      const refused = yield* sendFor(scale)
      assert.strictEqual(refused.status, 403)
      assert.include(refused.object.message, 'cannot get resource "deployments/scale" in API group "apps"')
      yield* kube.setRules(rule("get"))
      assert.strictEqual((yield* sendFor(scale)).object.spec?.replicas, 5)
      assert.strictEqual((yield* patch([testing(5), adding(6)])).status, 403)
      // A get of the deployment itself is another permission.
      yield* kube.setRules([{ apiGroups: ["apps"], resources: ["deployments"], verbs: ["get"] }])
      assert.strictEqual((yield* sendFor(scale)).status, 403)
    }).pipe(served)
  )
})
