/** Reads one cluster in JSON and in protobuf. After any changes and faults, both give the same pages and events. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Result, Schema, Stream } from "effect"
import { EmbeddedKube } from "../../../src/embedded/EmbeddedKube.ts"
import { KubeApi } from "../../../src/kube/KubeApi.ts"
import type { KubeError } from "../../../src/kube/KubeErrors.ts"
import type { KubeListPage, WatchEvent } from "../../../src/kube/wire/KubeCodec.ts"
import { deployments, deploymentsIn, namespaces } from "../../../src/kube/wire/ResourceKind.ts"
import { NamespaceName } from "../../../src/contract/Names.ts"
import type { DeploymentObject, NamespaceObject } from "../../../src/model/ReadModel.ts"
import { ResourceVersion } from "../../../src/model/ResourceVersion.ts"
import { kubeApi } from "../HttpCluster.ts"

const Step = Schema.Struct({
  action: Schema.Literals([
    "put",
    "put",
    "put",
    "scale",
    "delete",
    "createNamespace",
    "deleteNamespace",
    "compact",
    "duplicateNextEvents",
    "reorderNextEvents",
    "unknownFields",
    "emptyObject"
  ]),
  namespace: Schema.Literals(["a", "a-b", "b"]),
  name: Schema.Literals(["web", "db", "x"]),
  replicas: Schema.Literals(["absent", -1, 0, 1, 127, 128, 2_147_483_647])
})

const Quirks = Schema.Struct({
  emptyItems: Schema.Literals(["array", "null", "absent"]),
  bareListItems: Schema.Boolean,
  bareWatchObjects: Schema.Boolean,
  goneMode: Schema.Literals(["event", "status"]),
  silentFutureWatch: Schema.Boolean,
  ignoreSendInitialEvents: Schema.Boolean
})

const Watch = Schema.Struct({
  resource: Schema.Literals(["namespaces", "deployments", "deployments of one namespace"]),
  sendInitialEvents: Schema.Boolean,
  from: Schema.Literals(["none", "current", "current", "first", "future"]),
  end: Schema.Literals([
    "closeWatchesCleanly",
    "closeWatchesCleanly",
    "goneNow",
    "cutMidEvent",
    "garbageEvent",
    "oversizedEvent"
  ])
})

const Pages = Schema.Struct({
  limit: Schema.Literals([0, 1, 2, 3]),
  compactAfterFirst: Schema.Boolean
})

const kinds = {
  namespaces,
  deployments,
  "deployments of one namespace": deploymentsIn(NamespaceName.make("a"))
} as const

type AnyObject = NamespaceObject | DeploymentObject

const perform = Effect.fnUntraced(
  function* ({ action, name, namespace, replicas }: typeof Step.Type) {
    const { cluster, compact, faults } = yield* EmbeddedKube
    const count = replicas === "absent" ? undefined : replicas
    switch (action) {
      case "put":
        return yield* cluster.putDeployment(namespace, name, count)
      case "scale":
        return yield* cluster.scale(namespace, name, count ?? 1)
      case "delete":
        return yield* cluster.deleteDeployment(namespace, name)
      case "createNamespace":
      case "deleteNamespace":
        return yield* cluster[action](namespace)
      case "compact":
        return yield* compact
      case "duplicateNextEvents":
        return yield* faults.duplicateNextEvents(1)
      case "reorderNextEvents":
      case "unknownFields":
      case "emptyObject":
        return yield* faults[action]()
    }
  },
  (effect) => Effect.ignore(effect)
)

/** The parts of an error that are the same in both encodings. The message of a decode error is not. */
const described = (error: KubeError) =>
  error._tag === "KubeDecodeError" ? { tag: error._tag } : { ...error, tag: error._tag, message: error.message }

const versionOf = (from: (typeof Watch.Type)["from"], current: string): ResourceVersion | undefined => {
  switch (from) {
    case "none":
      return undefined
    case "current":
      return ResourceVersion.make(current)
    case "first":
      return ResourceVersion.make("1")
    case "future":
      return ResourceVersion.make(String(Number(current) + 3))
  }
}

/** Opens the watch and waits until the server accepts or rejects it. Succeeds with an effect for its events and failure. */
const watch = Effect.fnUntraced(function* ({ from, resource, sendInitialEvents }: typeof Watch.Type) {
  const { snapshot } = yield* EmbeddedKube
  const resourceVersion = versionOf(from, (yield* snapshot).resourceVersion)
  const api = yield* KubeApi
  const events: Array<WatchEvent<AnyObject>> = []
  const answered = yield* Deferred.make<void>()
  const request = { resourceVersion, sendInitialEvents, timeoutSeconds: 60 }
  const stream: Stream.Stream<WatchEvent<AnyObject>, KubeError> = resource === "namespaces"
    ? api.watch(kinds[resource], request)
    : api.watch(kinds[resource], inNamespace(resource, request))
  const fiber = yield* stream.pipe(
    Stream.runForEach((event) => {
      events.push(event)
      return Deferred.succeed(answered, undefined)
    }),
    Effect.mapError(described),
    Effect.result,
    Effect.ensuring(Deferred.succeed(answered, undefined)),
    Effect.forkScoped
  )
  yield* Deferred.await(answered)
  return Effect.map(Fiber.join(fiber), (end) => ({ events, end }))
})

const inNamespace = <A extends object>(resource: (typeof Watch.Type)["resource"], request: A) =>
  resource === "deployments of one namespace" ? { ...request, namespace: NamespaceName.make("a") } : request

/** The pages of a list, up to the first failure. */
const pagesOf = Effect.fnUntraced(function* (
  resource: (typeof Watch.Type)["resource"],
  { compactAfterFirst, limit }: typeof Pages.Type
) {
  const api = yield* KubeApi
  const { compact } = yield* EmbeddedKube
  const pages: Array<KubeListPage<AnyObject> | object> = []
  let next: string | undefined
  do {
    const request = { limit, continue: next }
    const page: Result.Result<KubeListPage<AnyObject>, KubeError> = yield* Effect.result<
      KubeListPage<AnyObject>,
      KubeError,
      never
    >(
      resource === "namespaces"
        ? api.listPage(kinds[resource], request)
        : api.listPage(kinds[resource], inNamespace(resource, request))
    )
    pages.push(Result.match(page, { onFailure: described, onSuccess: (page) => page }))
    next = Result.isSuccess(page) ? page.success.continue : undefined
    if (compactAfterFirst && pages.length === 1) yield* compact
  } while (next !== undefined)
  return pages
})

/** Runs the effect in both encodings concurrently. The fibers that it forks end with the scope. */
const inBoth = <A, E, R>(effect: Effect.Effect<A, E, R | KubeApi>) =>
  Effect.gen(function* () {
    const { url } = yield* EmbeddedKube
    const over = (contentType: "json" | "protobuf") =>
      Effect.flatMap(Layer.build(kubeApi(url, { contentType })), (context) => Effect.provideContext(effect, context))
    return yield* Effect.all({ json: over("json"), protobuf: over("protobuf") }, { concurrency: "unbounded" })
  })

const steps = (maxLength: number) => Schema.Array(Step).check(Schema.isMaxLength(maxLength))

describe("JSON and protobuf", () => {
  it.live.prop(
    "give the same events and pages",
    { before: steps(12), after: steps(12), quirks: Quirks, wanted: Watch, pages: Pages },
    ({ after, before, pages, quirks, wanted }) =>
      Effect.scoped(
        Effect.gen(function* () {
          const { faults } = yield* EmbeddedKube
          yield* Effect.forEach(before, perform)
          yield* faults.setQuirks(quirks)
          const watches = yield* inBoth(watch(wanted))
          yield* Effect.forEach(after, perform)
          yield* faults[wanted.end]()
          yield* faults.closeWatchesCleanly()
          const { json, protobuf } = yield* Effect.all(watches)
          assert.deepStrictEqual(protobuf, json)
          const lists = yield* inBoth(pagesOf(wanted.resource, pages))
          assert.deepStrictEqual(lists.protobuf, lists.json)
        })
      ).pipe(Effect.provide(EmbeddedKube.layer({ seed: { a: { web: 1, db: undefined }, b: {} } }))),
    { arbitrary: { runs: 150 } }
  )
})
