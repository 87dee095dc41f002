import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { EmbeddedKube, type EmbeddedKubeOptions } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { eventually } from "../support/Eventually.ts"
import { decodeObject, end, nextEvent, nextEvents, send, sendFor, watch } from "./WireClient.ts"

const namespaces = "/api/v1/namespaces"
const deployments = "/apis/apps/v1/deployments"
const nginxScale = "/apis/apps/v1/namespaces/personal/deployments/nginx/scale"
const streaming = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"

const served = (options: EmbeddedKubeOptions = {}) => Effect.provide(EmbeddedKube.layer({ seed: demoSeed, ...options }))

const patch = (body: string, type = "application/merge-patch+json") => ({
  method: "PATCH",
  headers: { "content-type": type },
  body
})

const post = (body: object) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body)
})

const putScale = (resourceVersion: string, replicas: number) => ({
  ...post({ metadata: { resourceVersion }, spec: { replicas } }),
  method: "PUT"
})

/** A watch of deployments from the current version, open on both sides. */
const openWatch = Effect.fnUntraced(function* (query = "") {
  const kube = yield* EmbeddedKube
  const { resourceVersion } = yield* kube.snapshot
  const before = yield* kube.openWatches()
  const opened = yield* watch(`${deployments}?watch=1&resourceVersion=${resourceVersion}${query}`)
  yield* kube.awaitWatches(before + 1)
  return opened
})

describe("lists", () => {
  it.live("have every object, items without kind, and the version of the list", () =>
    Effect.gen(function* () {
      const { headers, object, status } = yield* sendFor(namespaces)
      assert.strictEqual(status, 200)
      assert.strictEqual(headers["content-type"], "application/json")
      assert.strictEqual(object.kind, "NamespaceList")
      assert.deepStrictEqual(
        object.items?.map(({ kind, metadata }) => [kind, metadata.name]),
        [
          [undefined, "default"],
          [undefined, "kube-system"],
          [undefined, "personal"]
        ]
      )
      const { resourceVersion } = yield* (yield* EmbeddedKube).snapshot
      assert.strictEqual(object.metadata.resourceVersion, resourceVersion)
    }).pipe(served())
  )

  it.live("of one namespace have only its deployments", () =>
    Effect.gen(function* () {
      const { object } = yield* sendFor("/apis/apps/v1/namespaces/personal/deployments")
      assert.deepStrictEqual(
        object.items?.map(({ metadata, spec }) => [metadata.name, spec.replicas]),
        [
          ["kafka", 3],
          ["nginx", 12],
          ["resource-access", 2]
        ]
      )
    }).pipe(served())
  )

  it.live("continue by token, with all pages at the version of the first", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const first = (yield* sendFor(`${deployments}?limit=4`)).object
      assert.strictEqual(first.metadata.remainingItemCount, 2)
      yield* kube.cluster.deleteDeployment("personal", "nginx")
      const path = `${deployments}?limit=4&continue=${first.metadata.continue ?? ""}`
      const second = (yield* sendFor(path)).object
      assert.deepStrictEqual(
        [...(first.items ?? []), ...(second.items ?? [])].map(({ metadata }) => metadata.name),
        ["fred", "jane", "sally", "kafka", "nginx", "resource-access"]
      )
      assert.strictEqual(second.metadata.resourceVersion, first.metadata.resourceVersion)
      assert.isUndefined(second.metadata.continue)
      assert.deepStrictEqual(
        (yield* kube.requests).map(({ items, status, verb }) => [verb, status, items]),
        [
          ["list", 200, 4],
          ["list", 200, 2]
        ]
      )
    }).pipe(served())
  )

  it.live("with an expired token fail with 410 and a token to continue inconsistently", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const first = (yield* sendFor(`${deployments}?limit=4`)).object
      yield* kube.compact
      const expired = yield* sendFor(`${deployments}?limit=4&continue=${first.metadata.continue ?? ""}`)
      assert.deepStrictEqual([expired.status, expired.object.reason], [410, "Expired"])
      const onward = yield* sendFor(`${deployments}?limit=4&continue=${expired.object.metadata.continue ?? ""}`)
      assert.deepStrictEqual(
        onward.object.items?.map(({ metadata }) => metadata.name),
        ["nginx", "resource-access"]
      )
      assert.strictEqual((yield* send(`${deployments}?continue=rubbish`)).status, 400)
    }).pipe(served())
  )

  it.live("are limited to the page size, except for resourceVersion 0", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* sendFor(`${deployments}?limit=500`)).object.items?.length, 2)
      assert.strictEqual((yield* sendFor(`${deployments}?limit=1&resourceVersion=0`)).object.items?.length, 6)
    }).pipe(served({ maxPageSize: 2 }))
  )

  it.live("from a future version fail with 504 and Retry-After", () =>
    Effect.gen(function* () {
      const { headers, object, status } = yield* sendFor(`${deployments}?resourceVersion=999999`)
      assert.deepStrictEqual([status, object.reason, headers["retry-after"]], [504, "Timeout", "1"])
      assert.include(JSON.stringify(object.details), "ResourceVersionTooLarge")
    }).pipe(served())
  )

  it.live("without items are written as the quirk says", () =>
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      const path = "/apis/apps/v1/namespaces/default/deployments"
      assert.deepStrictEqual((yield* sendFor(path)).object.items, [])
      yield* faults.setQuirks({ emptyItems: "null" })
      assert.isNull((yield* sendFor(path)).object.items)
      yield* faults.setQuirks({ emptyItems: "absent" })
      assert.notProperty((yield* sendFor(path)).object, "items")
    }).pipe(served())
  )

  it.live("omit replicas of an object without a count", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      yield* kube.cluster.putDeployment("default", "plain", undefined)
      const { object } = yield* sendFor("/apis/apps/v1/namespaces/default/deployments")
      assert.deepStrictEqual(object.items?.[0]?.spec, {})
      assert.strictEqual((yield* kube.snapshot).deployments[0]?.replicas, 1)
    }).pipe(served())
  )

  it.live("of many padded objects are complete", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      yield* kube.cluster.seedMany(3, 500, { padding: 3000 })
      const { object, text } = yield* sendFor(deployments)
      assert.strictEqual(object.items?.length, 1500)
      assert.isAbove(text.length / 1500, 3500)
      assert.isBelow(text.length / 1500, 4500)
    }).pipe(served({ seed: {} }))
  )
})

describe("watches", () => {
  it.live("send the changes after their version, in order", () =>
    Effect.gen(function* () {
      const { cluster } = yield* EmbeddedKube
      const opened = yield* openWatch()
      yield* cluster.putDeployment("default", "web", 1)
      yield* cluster.scale("default", "web", 2)
      yield* cluster.scale("default", "web", 2)
      yield* cluster.deleteDeployment("default", "web")
      assert.deepStrictEqual(yield* nextEvents(opened, 3), ["ADDED web", "MODIFIED web", "DELETED web"])
    }).pipe(served())
  )

  it.live("resume from an older version with the missed changes", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const { resourceVersion } = yield* kube.snapshot
      yield* kube.cluster.scale("personal", "nginx", 13)
      yield* kube.cluster.scale("personal", "kafka", 4)
      const opened = yield* watch(`${deployments}?watch=1&resourceVersion=${resourceVersion}`)
      assert.deepStrictEqual(yield* nextEvents(opened, 2), ["MODIFIED nginx", "MODIFIED kafka"])
    }).pipe(served())
  )

  it.live("of one namespace send only its changes", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const { resourceVersion } = yield* kube.snapshot
      const opened = yield* watch(
        `/apis/apps/v1/namespaces/personal/deployments?watch=1&resourceVersion=${resourceVersion}`
      )
      yield* kube.cluster.scale("kube-system", "jane", 5)
      yield* kube.cluster.scale("personal", "nginx", 13)
      assert.deepStrictEqual(yield* nextEvents(opened, 1), ["MODIFIED nginx"])
    }).pipe(served())
  )

  it.live("see a namespace terminate: its deployments are deleted, then itself", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const { resourceVersion } = yield* kube.snapshot
      const ofNamespaces = yield* watch(`${namespaces}?watch=1&resourceVersion=${resourceVersion}`)
      const ofDeployments = yield* watch(`${deployments}?watch=1&resourceVersion=${resourceVersion}`)
      yield* kube.cluster.deleteNamespace("kube-system")
      assert.deepStrictEqual(yield* nextEvents(ofNamespaces, 2), ["MODIFIED kube-system", "DELETED kube-system"])
      assert.deepStrictEqual(yield* nextEvents(ofDeployments, 3), ["DELETED fred", "DELETED jane", "DELETED sally"])
      assert.deepStrictEqual((yield* kube.snapshot).namespaces, ["default", "personal"])
    }).pipe(served())
  )

  it.live("without a version begin with the current objects", () =>
    Effect.gen(function* () {
      const opened = yield* watch(`${namespaces}?watch=1`)
      assert.deepStrictEqual(yield* nextEvents(opened, 3), ["ADDED default", "ADDED kube-system", "ADDED personal"])
    }).pipe(served())
  )

  it.live("as a streaming list mark the end of the initial objects, then continue", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const { resourceVersion } = yield* kube.snapshot
      const opened = yield* watch(`${namespaces}?${streaming}`)
      assert.deepStrictEqual(yield* nextEvents(opened, 3), ["ADDED default", "ADDED kube-system", "ADDED personal"])
      assert.deepStrictEqual(yield* nextEvent(opened), {
        type: "BOOKMARK",
        object: {
          kind: "Namespace",
          apiVersion: "v1",
          metadata: { resourceVersion, annotations: { "k8s.io/initial-events-end": "true" } }
        }
      })
      yield* kube.cluster.createNamespace("later")
      assert.deepStrictEqual(yield* nextEvents(opened, 1), ["ADDED later"])
    }).pipe(served())
  )

  it.live("as a streaming list fail with 422 on a server without the feature", () =>
    Effect.gen(function* () {
      const { object, status } = yield* sendFor(`${namespaces}?${streaming}`)
      assert.deepStrictEqual([status, object.reason], [422, "Invalid"])
    }).pipe(served({ streamingLists: false }))
  )

  it.live("get bookmarks of the current version on request", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const { resourceVersion } = yield* kube.snapshot
      const opened = yield* openWatch("&allowWatchBookmarks=true")
      assert.deepStrictEqual(yield* nextEvent(opened), {
        type: "BOOKMARK",
        object: { kind: "Deployment", apiVersion: "apps/v1", metadata: { resourceVersion } }
      })
    }).pipe(served({ bookmarkInterval: "5 millis" }))
  )

  it.live("end cleanly at their timeout", () =>
    Effect.gen(function* () {
      const opened = yield* openWatch("&timeoutSeconds=1")
      assert.deepStrictEqual(yield* end(opened), { _tag: "End", clean: true, partial: "" })
      assert.strictEqual(yield* (yield* EmbeddedKube).openWatches(), 0)
    }).pipe(served())
  )

  it.live("from a compacted version fail with an ERROR event of 410, or with status 410", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const { resourceVersion } = yield* kube.snapshot
      yield* kube.cluster.scale("personal", "nginx", 1)
      yield* kube.compact
      const path = `${deployments}?watch=1&resourceVersion=${resourceVersion}`
      const opened = yield* watch(path)
      assert.strictEqual(opened.status, 200)
      const { object, type } = yield* nextEvent(opened)
      assert.deepStrictEqual([type, object.kind, object.code, object.reason], ["ERROR", "Status", 410, "Expired"])
      assert.isTrue((yield* end(opened)).clean)
      yield* kube.faults.setQuirks({ goneMode: "status" })
      assert.strictEqual((yield* send(path)).status, 410)
    }).pipe(served())
  )

  it.live("continue after a compaction if they are open", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const opened = yield* openWatch()
      yield* kube.cluster.scale("personal", "nginx", 1)
      yield* kube.compact
      yield* kube.cluster.scale("personal", "kafka", 1)
      assert.deepStrictEqual(yield* nextEvents(opened, 2), ["MODIFIED nginx", "MODIFIED kafka"])
    }).pipe(served())
  )

  it.live("from a future version fail, or are silent until it is reached", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const ahead = Number((yield* kube.snapshot).resourceVersion) + 1
      const path = `${deployments}?watch=1&resourceVersion=${ahead}`
      assert.strictEqual((yield* send(path)).status, 504)
      yield* kube.faults.setQuirks({ silentFutureWatch: true })
      const opened = yield* watch(path)
      yield* kube.cluster.scale("personal", "nginx", 1)
      yield* kube.cluster.scale("personal", "kafka", 1)
      assert.deepStrictEqual(yield* nextEvents(opened, 1), ["MODIFIED kafka"])
    }).pipe(served())
  )
})

describe("the scale subresource", () => {
  it.live("accepts a merge patch, responds with the Scale and notifies watches", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const opened = yield* openWatch()
      const { object, status } = yield* sendFor(
        `${nginxScale}?fieldManager=test`,
        patch(JSON.stringify({ spec: { replicas: 5 } }))
      )
      assert.deepStrictEqual([status, object.kind, object.spec?.replicas], [200, "Scale", 5])
      const event = yield* nextEvent(opened)
      assert.deepStrictEqual(event.object.spec?.replicas, 5)
      assert.strictEqual(object.metadata.resourceVersion, event.object.metadata.resourceVersion)
      assert.strictEqual((yield* sendFor(nginxScale)).object.spec?.replicas, 5)
      assert.strictEqual((yield* kube.requests).find(({ verb }) => verb === "patch")?.query.get("fieldManager"), "test")
    }).pipe(served())
  )

  it.live("omits a count of 0 from the spec, as Go does", () =>
    Effect.gen(function* () {
      const { object } = yield* sendFor(nginxScale, patch(JSON.stringify({ spec: { replicas: 0 } })))
      assert.deepStrictEqual(object.spec, {})
      assert.include(JSON.stringify(object.status), `"replicas":0`)
    }).pipe(served())
  )

  it.live("accepts a Scale by PUT, unless the object has changed", () =>
    Effect.gen(function* () {
      const first = (yield* sendFor(nginxScale)).object.metadata.resourceVersion ?? ""
      const answer = yield* sendFor(nginxScale, putScale(first, 7))
      assert.deepStrictEqual([answer.status, answer.object.spec?.replicas], [200, 7])
      assert.strictEqual((yield* send(nginxScale, putScale(first, 8))).status, 409)
    }).pipe(served())
  )

  it.live.each([
    [404, "NotFound", nginxScale.replace("nginx", "absent"), patch(`{"spec":{"replicas":1}}`)],
    [422, "Invalid", nginxScale, patch(`{"spec":{"replicas":-1}}`)],
    [400, "BadRequest", nginxScale, patch(`{"spec":{"replicas":"many"}}`)],
    [400, "BadRequest", nginxScale, patch(`{"spec":{"replicas":2147483648}}`)],
    [400, "BadRequest", nginxScale, patch(`{"spec":`)],
    [415, "UnsupportedMediaType", nginxScale, patch(`{}`, "application/apply-patch+yaml")],
    [404, "NotFound", "/apis/apps/v1/replicasets", {}],
    [405, "MethodNotAllowed", deployments, { method: "DELETE" }],
    [406, "NotAcceptable", deployments, { headers: { accept: "application/yaml" } }]
  ] as const)("and its neighbours refuse with Status %s %s", ([code, reason, path, request]) =>
    Effect.gen(function* () {
      const { object, status } = yield* sendFor(path, request)
      assert.deepStrictEqual([status, object.kind, object.code, object.reason], [code, "Status", code, reason])
    }).pipe(served())
  )
})

describe("creating and deleting", () => {
  const post = (path: string, object: unknown) => send(path, { method: "POST", body: JSON.stringify(object) })
  it.effect("creates and deletes a namespace and a deployment, and notifies watches", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      assert.strictEqual((yield* post("/api/v1/namespaces", { metadata: { name: "new" } })).status, 201)
      const deployments = "/apis/apps/v1/namespaces/new/deployments"
      const made = yield* post(deployments, { metadata: { name: "web" }, spec: { replicas: 4 } })
      assert.strictEqual(made.status, 201)
      assert.strictEqual((yield* decodeObject(made.text)).spec?.replicas, 4)
      assert.strictEqual((yield* send(`${deployments}/web`, { method: "DELETE" })).status, 200)
      assert.strictEqual((yield* send(`${deployments}/web`)).status, 404)
      assert.strictEqual((yield* send("/api/v1/namespaces/new", { method: "DELETE" })).status, 200)
      assert.notInclude((yield* kube.snapshot).namespaces, "new")
    }).pipe(Effect.provide(EmbeddedKube.layer()))
  )
  it.effect("rejects an existing object, an absent namespace, and an invalid object", () =>
    Effect.gen(function* () {
      const refusal = (path: string, object: unknown) =>
        Effect.flatMap(post(path, object), ({ status, text }) =>
          Effect.map(decodeObject(text), ({ reason }) => [status, reason])
        )
      yield* post("/api/v1/namespaces", { metadata: { name: "new" } })
      const again = yield* refusal("/api/v1/namespaces", { metadata: { name: "new" } })
      assert.deepStrictEqual(again, [409, "AlreadyExists"])
      const nowhere = yield* refusal("/apis/apps/v1/namespaces/absent/deployments", { metadata: { name: "web" } })
      assert.deepStrictEqual(nowhere, [404, "NotFound"])
      const malformed = yield* refusal("/api/v1/namespaces", { metadata: { name: "a.b" } })
      assert.deepStrictEqual(malformed, [400, "BadRequest"])
    }).pipe(Effect.provide(EmbeddedKube.layer()))
  )
})

describe("RBAC rules", () => {
  it.effect("deny everything else, and limit a Role to its namespace", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const status = (path: string) => Effect.map(send(path), (answer) => answer.status)
      yield* kube.setRules([
        { namespace: "personal", apiGroups: ["apps"], resources: ["deployments"], verbs: ["list"] },
        {
          namespace: "personal",
          apiGroups: [""],
          resources: ["namespaces"],
          verbs: ["get"],
          resourceNames: ["personal"]
        }
      ])
      assert.strictEqual(yield* status("/apis/apps/v1/namespaces/personal/deployments"), 200)
      assert.strictEqual(yield* status("/apis/apps/v1/namespaces/personal/deployments?watch=true"), 403)
      assert.strictEqual(yield* status("/apis/apps/v1/namespaces/default/deployments"), 403)
      assert.strictEqual(yield* status("/apis/apps/v1/deployments"), 403)
      assert.strictEqual(yield* status("/api/v1/namespaces/personal"), 200)
      assert.strictEqual(yield* status("/api/v1/namespaces/default"), 403)
      assert.strictEqual(yield* status("/api/v1/namespaces"), 403)
      assert.strictEqual(yield* status("/version"), 200)
      yield* kube.setRules(undefined)
      assert.strictEqual(yield* status("/api/v1/namespaces"), 200)
    }).pipe(Effect.provide(EmbeddedKube.layer({ seed: demoSeed })))
  )
})

describe("the other resources", () => {
  it.live("access reviews are denied by default", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
      const question = { user: "ann", resourceAttributes: { verb: "get", resource: "deployments" } }
      const denied = yield* sendFor(path, post({ spec: question, metadata: {} }))
      assert.deepStrictEqual([denied.status, denied.object.status], [201, { allowed: false }])
      yield* kube.setAccess(({ user }) => ({ allowed: user === "ann", reason: "she may" }))
      const allowed = yield* sendFor(path, post({ spec: question, metadata: {} }))
      assert.deepStrictEqual(allowed.object.status, { allowed: true, reason: "she may" })
      assert.deepStrictEqual(yield* kube.accessQuestions, [question, question])
    }).pipe(served())
  )

  it.live("events are stored, and rejected without a required field or the namespace", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const body = {
        metadata: { generateName: "scaled-", namespace: "personal" },
        eventTime: "2026-01-01T00:00:00.000000Z",
        reportingController: "test",
        reportingInstance: "test-1",
        action: "Scale",
        reason: "Scaled",
        type: "Normal",
        regarding: { kind: "Deployment", name: "nginx", namespace: "personal" }
      }
      const path = "/apis/events.k8s.io/v1/namespaces/personal/events"
      assert.strictEqual((yield* send(path, post(body))).status, 201)
      const { reason: _, ...unreasoned } = body
      assert.strictEqual((yield* send(path, post(unreasoned))).status, 422)
      assert.strictEqual((yield* send(path.replace("personal", "default"), post(body))).status, 400)
      const core = yield* send("/api/v1/namespaces/absent/events", post({ metadata: { name: "x" } }))
      assert.strictEqual(core.status, 404)
      const stored = yield* kube.events
      assert.strictEqual(stored.length, 1)
      assert.match(stored[0]?.name ?? "", /^scaled-/)
    }).pipe(served())
  )

  it.live("version, readiness, and single objects are served", () =>
    Effect.gen(function* () {
      assert.include((yield* send("/version")).text, "gitVersion")
      assert.strictEqual((yield* send("/readyz")).text, "ok")
      const namespace = yield* sendFor(`${namespaces}/personal`)
      assert.strictEqual(namespace.object.kind, "Namespace")
      const deployment = yield* sendFor("/apis/apps/v1/namespaces/personal/deployments/nginx")
      assert.strictEqual(deployment.object.spec?.replicas, 12)
    }).pipe(served())
  )
})

describe("authentication", () => {
  it.live("accepts the configured tokens and responds 401 to all others", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const bearing = (token: string) => send(namespaces, { headers: { authorization: `Bearer ${token}` } })
      assert.strictEqual((yield* bearing("good")).status, 200)
      assert.strictEqual((yield* bearing("bad")).status, 401)
      const { object, status } = yield* sendFor(namespaces)
      assert.deepStrictEqual([status, object.reason], [401, "Unauthorized"])
      assert.strictEqual((yield* send("/readyz")).status, 200)
      yield* kube.setTokens(["bad"])
      assert.strictEqual((yield* bearing("good")).status, 401)
      assert.strictEqual((yield* bearing("bad")).status, 200)
    }).pipe(served({ tokens: ["good"] }))
  )
})

describe("faults", () => {
  it.live("dropWatches destroys only the watches of its target", () =>
    Effect.gen(function* () {
      const { cluster, faults, openWatches } = yield* EmbeddedKube
      const opened = yield* openWatch()
      assert.strictEqual(yield* faults.dropWatches("namespaces"), 0)
      yield* cluster.scale("personal", "nginx", 1)
      yield* nextEvents(opened, 1)
      assert.strictEqual(yield* faults.dropWatches(), 1)
      assert.isFalse((yield* end(opened)).clean)
      assert.strictEqual(yield* openWatches(), 0)
    }).pipe(served())
  )

  it.live("stallWatches silences the open watches until they are released, and not new ones", () =>
    Effect.gen(function* () {
      const { cluster, faults } = yield* EmbeddedKube
      const stalled = yield* openWatch("&allowWatchBookmarks=true")
      yield* nextEvent(stalled)
      assert.strictEqual(yield* faults.stallWatches("deployments"), 1)
      const fresh = yield* openWatch()
      yield* cluster.scale("personal", "nginx", 1)
      assert.deepStrictEqual(yield* nextEvents(fresh, 1), ["MODIFIED nginx"])
      // Bookmarks from before the stall may still arrive.
      assert.notInclude(JSON.stringify(yield* Queue.clear(stalled.pieces)), "MODIFIED")
      yield* faults.releaseWatches()
      let event = yield* nextEvent(stalled)
      while (event.type === "BOOKMARK") event = yield* nextEvent(stalled)
      assert.deepStrictEqual([event.type, event.object.metadata.name], ["MODIFIED", "nginx"])
    }).pipe(served({ bookmarkInterval: "5 millis" }))
  )

  it.live("cutMidEvent leaves half a line and a broken connection", () =>
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      const opened = yield* openWatch()
      assert.strictEqual(yield* faults.cutMidEvent(), 1)
      const { clean, partial } = yield* end(opened)
      assert.isFalse(clean)
      assert.match(partial, /^\{"type":"MODIFIED"/)
    }).pipe(served())
  )

  it.live("garbageEvent is followed by valid lines", () =>
    Effect.gen(function* () {
      const { cluster, faults } = yield* EmbeddedKube
      const opened = yield* openWatch()
      assert.strictEqual(yield* faults.garbageEvent(), 1)
      const garbage = yield* Queue.take(opened.pieces)
      assert.strictEqual(garbage._tag, "Line")
      assert.throws(() => JSON.parse(garbage._tag === "Line" ? garbage.text : "{}"))
      yield* cluster.scale("personal", "nginx", 1)
      assert.deepStrictEqual(yield* nextEvents(opened, 1), ["MODIFIED nginx"])
    }).pipe(served())
  )

  it.live("goneNow ends the watches with an ERROR event of 410", () =>
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      const opened = yield* openWatch()
      assert.strictEqual(yield* faults.goneNow(), 1)
      const { object, type } = yield* nextEvent(opened)
      assert.deepStrictEqual([type, object.code], ["ERROR", 410])
      assert.isTrue((yield* end(opened)).clean)
    }).pipe(served())
  )

  it.live("closeWatchesCleanly ends the open watches, closeNewWatches new ones", () =>
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      const opened = yield* openWatch()
      assert.strictEqual(yield* faults.closeWatchesCleanly(), 1)
      assert.deepStrictEqual(yield* end(opened), { _tag: "End", clean: true, partial: "" })
      yield* faults.closeNewWatches(true)
      const next = yield* watch(`${deployments}?watch=1&resourceVersion=2`)
      yield* nextEvents(next, 6)
      assert.isTrue((yield* end(next)).clean)
    }).pipe(served())
  )

  it.live("duplicateNextEvents sends the given number of changes twice", () =>
    Effect.gen(function* () {
      const { cluster, faults } = yield* EmbeddedKube
      const opened = yield* openWatch()
      assert.strictEqual(yield* faults.duplicateNextEvents(1), 1)
      yield* cluster.scale("personal", "nginx", 1)
      yield* cluster.scale("personal", "kafka", 1)
      assert.deepStrictEqual(yield* nextEvents(opened, 3), ["MODIFIED nginx", "MODIFIED nginx", "MODIFIED kafka"])
    }).pipe(served())
  )

  it.live("reorderNextEvents swaps two changes", () =>
    Effect.gen(function* () {
      const { cluster, faults } = yield* EmbeddedKube
      const opened = yield* openWatch()
      assert.strictEqual(yield* faults.reorderNextEvents(), 1)
      yield* cluster.scale("personal", "nginx", 1)
      yield* cluster.scale("personal", "kafka", 1)
      yield* cluster.scale("personal", "nginx", 2)
      assert.deepStrictEqual(yield* nextEvents(opened, 3), ["MODIFIED kafka", "MODIFIED nginx", "MODIFIED nginx"])
    }).pipe(served())
  )

  it.live("failNext fails the matching requests, the given number of times", () =>
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      yield* faults.failNext(2, { status: 429, retryAfter: 7, on: "list", resource: "deployments" })
      assert.strictEqual((yield* send(namespaces)).status, 200)
      const { headers, object, status } = yield* sendFor(deployments)
      assert.deepStrictEqual([status, object.reason, headers["retry-after"]], [429, "TooManyRequests", "7"])
      assert.strictEqual(yield* faults.pendingFailures, 1)
      assert.strictEqual((yield* send(deployments)).status, 429)
      assert.strictEqual((yield* send(deployments)).status, 200)
      yield* faults.failNext(1, { status: 500, on: "any" })
      assert.strictEqual((yield* send(nginxScale, patch(`{"spec":{"replicas":1}}`))).status, 500)
    }).pipe(served())
  )

  it.live("slow delays requests", () =>
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      yield* faults.slow("1 hour")
      const slowed = yield* Effect.timeoutOption(send(namespaces), "30 millis")
      assert.strictEqual(slowed._tag, "None")
      yield* faults.slow(0)
      assert.strictEqual((yield* send(namespaces)).status, 200)
    }).pipe(served())
  )

  it.live("unavailable destroys connections, open and new, until it ends", () =>
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      const opened = yield* openWatch()
      yield* faults.unavailable(true)
      assert.isFalse((yield* end(opened)).clean)
      assert.strictEqual((yield* Effect.flip(send(namespaces)))._tag, "ConnectionLost")
      yield* faults.unavailable(false)
      assert.strictEqual((yield* send(namespaces)).status, 200)
    }).pipe(served())
  )

  it.live("hang accepts requests and responds only after it ends", () =>
    Effect.gen(function* () {
      const { faults, requests } = yield* EmbeddedKube
      yield* faults.hang(true)
      const [response] = yield* Effect.all(
        [
          send(namespaces),
          Effect.gen(function* () {
            const [first] = yield* eventually(requests, ({ length }) => length > 0)
            assert.isUndefined(first?.status)
            yield* faults.hang(false)
          })
        ],
        { concurrency: 2 }
      )
      assert.strictEqual(response.status, 200)
    }).pipe(served())
  )

  it.live("denyVerb responds 403 with the message of Kubernetes", () =>
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      yield* faults.denyVerb("deployments", "watch")
      yield* faults.denyVerb("deployments/scale", "patch")
      const { object, status } = yield* sendFor(`${deployments}?watch=1`)
      assert.deepStrictEqual([status, object.reason], [403, "Forbidden"])
      assert.strictEqual(
        object.message,
        `deployments.apps is forbidden: User "system:admin" cannot watch resource "deployments" in API group "apps" ` +
          `at the cluster scope`
      )
      const scale = yield* sendFor(nginxScale, patch(`{"spec":{"replicas":1}}`))
      assert.strictEqual(
        scale.object.message,
        `deployments.apps "nginx" is forbidden: User "system:admin" cannot patch resource "deployments/scale" in API ` +
          `group "apps" in the namespace "personal"`
      )
      assert.strictEqual((yield* send(deployments)).status, 200)
      yield* faults.allowAll
      assert.strictEqual((yield* send(nginxScale, patch(`{"spec":{"replicas":1}}`))).status, 200)
    }).pipe(served())
  )

  it.live("restart drops connections and history, and continues from a lower version", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const before = yield* kube.snapshot
      const opened = yield* openWatch()
      yield* kube.restart({ resourceVersion: 4 })
      assert.isFalse((yield* end(opened)).clean)
      const after = yield* kube.snapshot
      assert.strictEqual(after.resourceVersion, "4")
      assert.deepStrictEqual(
        after.deployments.map(({ name, replicas }) => [name, replicas]),
        before.deployments.map(({ name, replicas }) => [name, replicas])
      )
      assert.strictEqual((yield* send(`${deployments}?watch=1&resourceVersion=${before.resourceVersion}`)).status, 504)
      const behind = yield* watch(`${deployments}?watch=1&resourceVersion=3`)
      assert.strictEqual((yield* nextEvent(behind)).object.code, 410)
    }).pipe(served())
  )

  it.live("reset ends all faults", () =>
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      yield* faults.failNext(9, { status: 500, on: "any" })
      yield* faults.denyVerb("namespaces", "list")
      yield* faults.hang(true)
      yield* faults.unavailable(true)
      yield* faults.reset
      assert.strictEqual((yield* decodeObject((yield* send(namespaces)).text)).kind, "NamespaceList")
    }).pipe(served())
  )
})

describe("operations", () => {
  it.live("fail on objects that do not exist", () =>
    Effect.gen(function* () {
      const { cluster } = yield* EmbeddedKube
      const failures = yield* Effect.all([
        Effect.flip(cluster.scale("personal", "absent", 1)),
        Effect.flip(cluster.putDeployment("absent", "web", 1)),
        Effect.flip(cluster.deleteNamespace("absent"))
      ])
      assert.deepStrictEqual(
        failures.map(({ key }) => key),
        ["personal/absent", "absent", "absent"]
      )
      assert.include(failures[0]?.message, "personal/absent")
    }).pipe(served())
  )
})
