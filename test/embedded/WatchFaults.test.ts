/** Each watch fault in both encodings: its bytes, and how `KubeApi` reads it. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Queue, Stream } from "effect"
import * as Http from "node:http"
import { EmbeddedKube, type EmbeddedKubeOptions } from "../../src/embedded/EmbeddedKube.ts"
import { KubeApi } from "../../src/kube/KubeApi.ts"
import type { KubeError } from "../../src/kube/KubeErrors.ts"
import { acceptWatch, type ContentType } from "../../src/kube/wire/ContentType.ts"
import type { WatchEvent } from "../../src/kube/wire/KubeCodec.ts"
import { deployments } from "../../src/kube/wire/ResourceKind.ts"
import type { DeploymentObject } from "../../src/model/ReadModel.ts"
import { ResourceVersion } from "../../src/model/ResourceVersion.ts"
import { kubeApi } from "../kube/HttpCluster.ts"
import { eventually } from "../support/Eventually.ts"
import { readEvent, readFrames, readObject } from "../support/ProtobufSchema.ts"

const contentTypes: ReadonlyArray<ContentType> = ["json", "protobuf"]

const served = (options: EmbeddedKubeOptions = {}) =>
  Effect.provide(EmbeddedKube.layer({ seed: { personal: { nginx: 1 } }, ...options }))

/** Opens a watch from the current version. Succeeds with its bytes so far, and how it ended, if it has. */
const openBytes = Effect.fnUntraced(function* (contentType: ContentType) {
  const kube = yield* EmbeddedKube
  const { resourceVersion } = yield* kube.snapshot
  const state: { bytes: Buffer; end: "clean" | "broken" | undefined } = { bytes: Buffer.alloc(0), end: undefined }
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const path = `${kube.url}/apis/apps/v1/deployments?watch=1&resourceVersion=${resourceVersion}`
      return Http.get(path, { headers: { accept: acceptWatch(contentType) }, agent: false }, (response) => {
        response.on("data", (chunk: Buffer) => {
          state.bytes = Buffer.concat([state.bytes, chunk])
        })
        response.on("error", () => {})
        response.on("close", () => {
          state.end = response.complete ? "clean" : "broken"
        })
      }).on("error", () => {})
    }),
    (request) => Effect.sync(() => void request.destroy())
  )
  yield* kube.awaitWatches(1)
  return state
})

/** The complete events in the bytes: lines or frames. Throws if the last one is incomplete. */
const split = (contentType: ContentType, bytes: Buffer): ReadonlyArray<Uint8Array> => {
  if (contentType === "protobuf") return readFrames(bytes)
  const lines = bytes.toString().split("\n")
  if (lines.pop() !== "") throw new Error("an incomplete line")
  return lines.map((line) => Buffer.from(line))
}

/** Waits for `count` complete events. */
const received = (contentType: ContentType, state: { readonly bytes: Buffer }, count: number) =>
  Effect.map(
    eventually(
      () => state.bytes,
      (bytes) => split(contentType, bytes).length === count
    ),
    (bytes) => split(contentType, bytes)
  )

const parse = (contentType: ContentType, event: Uint8Array): unknown => {
  if (contentType === "json") return JSON.parse(Buffer.from(event).toString())
  const { object, type } = readEvent(event)
  return { type, object: readObject(object).object }
}

/** Opens a watch of `KubeApi`. Succeeds with its next event and its failure. */
const open = Effect.fnUntraced(function* (
  contentType: ContentType,
  { sendInitialEvents = false, from = "current" }: { sendInitialEvents?: boolean; from?: "current" | "none" } = {}
) {
  const kube = yield* EmbeddedKube
  const { resourceVersion } = yield* kube.snapshot
  const before = yield* kube.openWatches()
  const events = yield* Queue.make<WatchEvent<DeploymentObject>, KubeError | Cause.Done>()
  const version = from === "none" ? undefined : ResourceVersion.make(resourceVersion)
  yield* Stream.unwrap(
    Effect.map(KubeApi, (api) =>
      api.watch(deployments, { resourceVersion: version, sendInitialEvents, timeoutSeconds: 60 })
    )
  ).pipe(Stream.runIntoQueue(events), Effect.provide(kubeApi(kube.url, { contentType })), Effect.forkScoped)
  yield* kube.awaitWatches(before + 1)
  assert.deepStrictEqual(yield* Queue.take(events), { _tag: "Opened" })
  return { kube, next: Queue.take(events), failure: Effect.flip(Queue.take(events)) }
})

const told = (event: WatchEvent<DeploymentObject>): string => {
  switch (event._tag) {
    case "Applied":
      return `${event.object.name} ${event.object.replicas}`
    case "Deleted":
      return `${event.object.name} deleted`
    case "Undecodable":
      return `undecodable ${event.key ?? "without a key"}`
    case "Bookmark":
      return `bookmark${event.initialEventsEnd ? " at the end" : ""}`
    case "Opened":
      return "opened"
  }
}

for (const contentType of contentTypes) {
  describe(`in ${contentType}`, () => {
    it.live("cutMidEvent leaves half an event and a broken connection", () =>
      Effect.gen(function* () {
        const { faults } = yield* EmbeddedKube
        const state = yield* openBytes(contentType)
        assert.strictEqual(yield* faults.cutMidEvent(), 1)
        yield* eventually(
          () => state.end,
          (end) => end === "broken"
        )
        assert.isAbove(state.bytes.length, 100)
        assert.throws(() => split(contentType, state.bytes), "incomplete")
      }).pipe(served())
    )

    it.live("garbageEvent is framed as an event, and followed by valid events", () =>
      Effect.gen(function* () {
        const { cluster, faults } = yield* EmbeddedKube
        const state = yield* openBytes(contentType)
        assert.strictEqual(yield* faults.garbageEvent(), 1)
        yield* eventually(
          () => state.bytes.length,
          (length) => length > 0
        )
        yield* cluster.scale("personal", "nginx", 2)
        const [garbage, event] = yield* received(contentType, state, 2)
        assert(garbage !== undefined && event !== undefined)
        assert.throws(() => parse(contentType, garbage))
        assert.nestedInclude(parse(contentType, event), { type: "MODIFIED", "object.spec.replicas": 2 })
      }).pipe(served())
    )

    it.live("oversizedEvent fails a watch that the server keeps open", () =>
      Effect.gen(function* () {
        const { failure, kube } = yield* open(contentType)
        assert.strictEqual(yield* kube.faults.oversizedEvent(), 1)
        const error = yield* failure
        assert(error._tag === "KubeDecodeError")
        assert.match(error.message, /of more than 8388608 bytes/)
      }).pipe(served())
    )

    for (const fault of ["wrongMagic", "emptyObject"] as const) {
      it.live(`${fault} is an undecodable object, and the watch continues`, () =>
        Effect.gen(function* () {
          const { kube, next } = yield* open(contentType)
          assert.strictEqual(yield* kube.faults[fault](), 1)
          assert.strictEqual(told(yield* next), "undecodable without a key")
          yield* kube.cluster.scale("personal", "nginx", 2)
          assert.strictEqual(told(yield* next), "nginx 2")
        }).pipe(served())
      )
    }

    it.live("emptyObject has no field", () =>
      Effect.gen(function* () {
        const { faults } = yield* EmbeddedKube
        const state = yield* openBytes(contentType)
        yield* faults.emptyObject()
        const [event] = yield* received(contentType, state, 1)
        assert(event !== undefined)
        assert.deepStrictEqual(parse(contentType, event), { type: "ADDED", object: {} })
      }).pipe(served())
    )

    it.live("unknownFields do not change the decoded events", () =>
      Effect.gen(function* () {
        const { failure, kube, next } = yield* open(contentType)
        assert.strictEqual(yield* kube.faults.unknownFields(), 1)
        yield* kube.cluster.putDeployment("personal", "web", undefined)
        yield* kube.cluster.scale("personal", "web", 0)
        yield* kube.cluster.putDeployment("personal", "web", -1)
        yield* kube.cluster.deleteDeployment("personal", "web")
        const events: Array<string> = []
        for (let event = yield* next; events.length < 4; event = yield* next) {
          if (event._tag !== "Bookmark") events.push(told(event))
        }
        assert.deepStrictEqual(events, ["web 1", "web 0", "undecodable personal/web", "web deleted"])
        yield* kube.faults.goneNow()
        // Earlier bookmarks may still arrive.
        const error = yield* Effect.eventually(failure)
        assert(error._tag === "KubeStatusError")
        assert.deepStrictEqual([error.code, error.reason, error.inStream], [410, "Expired", true])
      }).pipe(served({ bookmarkInterval: "5 millis" }))
    )

    it.live("unknownFields are in the event, its object and all nested messages", () =>
      Effect.gen(function* () {
        const { cluster, faults } = yield* EmbeddedKube
        const state = yield* openBytes(contentType)
        yield* cluster.putDeployment("personal", "nginx", 2)
        yield* eventually(
          () => state.bytes.length,
          (length) => length > 0
        )
        yield* faults.unknownFields()
        yield* cluster.putDeployment("personal", "nginx", 2)
        const [plain, unknown] = yield* received(contentType, state, 2)
        assert(plain !== undefined && unknown !== undefined)
        const added = Buffer.from(unknown).toString("latin1").split("unknown").length - 1
        assert.isAbove(added, 20)
        assert.notInclude(Buffer.from(plain).toString("latin1"), "unknown")
        assert.nestedInclude(parse(contentType, unknown), {
          "object.metadata.name": "nginx",
          "object.spec.replicas": 2
        })
      }).pipe(served())
    )

    it.live("a negative count is an undecodable object in a list and in a watch", () =>
      Effect.gen(function* () {
        const { kube, next } = yield* open(contentType)
        yield* kube.cluster.putDeployment("personal", "broken", -1)
        assert.strictEqual(told(yield* next), "undecodable personal/broken")
        const page = yield* Effect.flatMap(KubeApi, (api) => api.listPage(deployments, {})).pipe(
          Effect.provide(kubeApi(kube.url, { contentType }))
        )
        assert.deepStrictEqual(page.undecodable, [{ key: "personal/broken", message: "an invalid or absent replicas" }])
        assert.strictEqual(page.items.length, 1)
      }).pipe(served())
    )

    it.live("a server that ignores sendInitialEvents does not mark the end of the initial events", () =>
      Effect.gen(function* () {
        const { faults } = yield* EmbeddedKube
        yield* faults.setQuirks({ ignoreSendInitialEvents: true })
        const { kube, next } = yield* open(contentType, { sendInitialEvents: true, from: "none" })
        assert.strictEqual(told(yield* next), "nginx 1")
        assert.strictEqual(told(yield* next), "bookmark")
        const resumed = yield* open(contentType, { sendInitialEvents: true })
        yield* kube.cluster.scale("personal", "nginx", 2)
        let event = yield* resumed.next
        while (event._tag === "Bookmark") event = yield* resumed.next
        assert.strictEqual(told(event), "nginx 2")
      }).pipe(served({ bookmarkInterval: "5 millis", streamingLists: false }))
    )
  })
}
