/**
 * A KubeApi with scripted responses, and an informer that runs against it.
 */
import { Clock, Duration, Effect, Layer, Logger, References, Result, Stream } from "effect"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import type { ResourceVersion } from "../../src/model/ResourceVersion.ts"
import * as Informer from "../../src/kube/Informer.ts"
import { InformerObserver, unobserved } from "../../src/kube/InformerObserver.ts"
import { KubeApi } from "../../src/kube/KubeApi.ts"
import { KubeDecodeError, type KubeError, KubeStatusError, KubeUnreachable } from "../../src/kube/KubeErrors.ts"
import { decodeListPage, decodeWatchEvent } from "../../src/kube/wire/JsonCodec.ts"
import type { WatchEvent } from "../../src/kube/wire/KubeCodec.ts"
import { namespaces, type ResourceKind } from "../../src/kube/wire/ResourceKind.ts"

/** The response to a watch: its events, and its end. A number is a pause in seconds; the events of an array arrive together. */
export interface WatchAnswer {
  readonly says: ReadonlyArray<unknown>
  readonly end: "close" | "hang" | KubeError
}

/** The responses to watches and list pages, in turn. Later requests get no response. */
export interface Script {
  readonly watches: ReadonlyArray<WatchAnswer | KubeError>
  readonly pages?: ReadonlyArray<unknown>
  /** The responses to reads of the current version, in turn. Later reads get a version newer than all others. */
  readonly versions?: ReadonlyArray<number | KubeError>
}

/** A log record. */
export interface Logged {
  readonly level: string
  readonly message: string
  readonly annotations: Readonly<Record<string, unknown>>
}

/** A received request, `at` seconds after the start. */
export interface Asked {
  readonly at: number
  readonly what: "watch" | "page"
  readonly resourceVersion?: string | undefined
  readonly sendInitialEvents?: boolean | undefined
  readonly timeoutSeconds?: number | undefined
  readonly limit?: number | undefined
  readonly continue?: string | undefined
}

const object = (name: string, resourceVersion: number) => ({
  metadata: { name, resourceVersion: String(resourceVersion) }
})

export const added = (name: string, version: number) => ({ type: "ADDED", object: object(name, version) })
export const modified = (name: string, version: number) => ({ type: "MODIFIED", object: object(name, version) })
export const deleted = (name: string, version: number) => ({ type: "DELETED", object: object(name, version) })
export const bookmark = (version: number) => ({
  type: "BOOKMARK",
  object: { metadata: { resourceVersion: String(version) } }
})
/** An object without a version. */
export const unreadable = (name: string) => ({ type: "MODIFIED", object: { metadata: { name, secret: "content" } } })
/** An object with an invalid name. */
export const unreadableAndUnnamed = { type: "MODIFIED", object: { metadata: { name: 7, resourceVersion: "1" } } }
export const initialEnd = (version: number) => ({
  type: "BOOKMARK",
  object: {
    metadata: { resourceVersion: String(version), annotations: { "k8s.io/initial-events-end": "true" } }
  }
})
export const page = (names: ReadonlyArray<string>, version: number, next?: string) => ({
  metadata: { resourceVersion: String(version), continue: next },
  items: names.map((name, index) => object(name, index + 1))
})

export const status = (
  code: number,
  more: {
    readonly reason?: string
    readonly causes?: ReadonlyArray<string>
    readonly retryAfter?: Duration.Duration
    readonly inStream?: boolean
  } = {}
) =>
  new KubeStatusError({
    operation: "ask",
    code,
    reason: more.reason ?? "",
    message: "",
    causes: more.causes ?? [],
    ...(more.retryAfter === undefined ? {} : { retryAfter: more.retryAfter }),
    inStream: more.inStream ?? false
  })
export const garbage = new KubeDecodeError({ operation: "watch namespaces", message: "not JSON" })
export const unreachable = new KubeUnreachable({ operation: "watch namespaces", message: "ECONNREFUSED" })

const isKubeError = (value: unknown): value is KubeError =>
  value instanceof KubeStatusError || value instanceof KubeDecodeError || value instanceof KubeUnreachable

const nowSeconds = Effect.map(Clock.currentTimeMillis, (millis) => millis / 1000)

const speak = <A extends { readonly resourceVersion: ResourceVersion }>(
  kind: ResourceKind<A>,
  answer: WatchAnswer
): Stream.Stream<WatchEvent<A>, KubeError> => {
  const opened: WatchEvent<A> = { _tag: "Opened" }
  const said = Stream.fromIterable(answer.says).pipe(
    Stream.rechunk(1),
    Stream.flatMap((word) =>
      typeof word === "number"
        ? Stream.fromEffectDrain(Effect.sleep(Duration.seconds(word)))
        : Stream.fromArray(
            (Array.isArray(word) ? word : [word]).map((one) => Result.getOrThrow(decodeWatchEvent(kind, one)))
          )
    )
  )
  const end = answer.end === "close" ? Stream.empty : answer.end === "hang" ? Stream.never : Stream.fail(answer.end)
  return Stream.succeed(opened).pipe(Stream.concat(said), Stream.concat(end))
}

/** A KubeApi with these calls. All other calls get no response. */
export const stubKubeApi = (calls: Partial<KubeApi["Service"]>): Layer.Layer<KubeApi> =>
  Layer.succeed(KubeApi, {
    listPage: () => Effect.never,
    watch: () => Stream.never,
    getNamespace: () => Effect.never,
    getNamespaceUid: () => Effect.never,
    scale: () => Effect.never,
    getScale: () => Effect.never,
    accessReview: () => Effect.never,
    createEvent: () => Effect.never,
    ...calls
  })

/** A version that is newer than all others. */
const newest = 1_000_000

const layer = (script: Script, asked: Array<Asked>, questions: Array<number>): Layer.Layer<KubeApi> => {
  const watches = [...script.watches]
  const pages = [...(script.pages ?? [])]
  const versions = [...(script.versions ?? [])]
  return stubKubeApi({
    listPage: (kind, request) =>
      Effect.gen(function* () {
        if (request.limit === 1) {
          questions.push(yield* nowSeconds)
          const version = versions.shift() ?? newest
          return typeof version === "number"
            ? Result.getOrThrow(decodeListPage(kind, page(["first"], version, "more")))
            : yield* version
        }
        asked.push({ at: yield* nowSeconds, what: "page", ...request })
        const answer = pages.shift()
        return isKubeError(answer)
          ? yield* answer
          : answer === undefined
            ? yield* Effect.never
            : Result.getOrThrow(decodeListPage(kind, answer))
      }),
    watch: (kind, request) =>
      Stream.unwrap(
        Effect.gen(function* () {
          asked.push({ at: yield* nowSeconds, what: "watch", ...request })
          const answer = watches.shift()
          return isKubeError(answer) ? Stream.fail(answer) : answer === undefined ? Stream.never : speak(kind, answer)
        })
      )
  })
}

/**
 * Starts an informer of namespaces on a scripted cluster. The records grow while it runs, each event after `delay`.
 * `questions`: the times of reads of the current version, in seconds since the start.
 */
export const informed = Effect.fnUntraced(function* (
  script: Script,
  options?: Informer.InformerOptions,
  delay: Effect.Effect<unknown> = Effect.void
) {
  const asked: Array<Asked> = []
  const events: Array<ClusterEvent> = []
  const relists: Array<string> = []
  const ends: Array<string> = []
  const logged: Array<Logged> = []
  const warnings: Array<string> = []
  const questions: Array<number> = []
  const skipped = { count: 0 }
  yield* Stream.runForEach(Informer.make(namespaces, options), (event) =>
    Effect.andThen(
      delay,
      Effect.sync(() => events.push(event))
    )
  ).pipe(
    Effect.provide(layer(script, asked, questions)),
    Effect.provideService(InformerObserver, {
      ...unobserved,
      relisted: (_, reason) => Effect.sync(() => relists.push(reason)),
      watchEnded: (_, end) => Effect.sync(() => ends.push(end)),
      skipped: () =>
        Effect.sync(() => {
          skipped.count++
        })
    }),
    Effect.provide(
      Logger.layer([
        Logger.make(({ fiber, logLevel, message }) => {
          const annotations = fiber.getRef(References.CurrentLogAnnotations)
          logged.push({ level: logLevel, message: String(message), annotations })
          if (logLevel === "Warn") {
            warnings.push(String(message))
          }
        })
      ])
    ),
    Effect.provideService(References.MinimumLogLevel, "Debug"),
    Effect.forkScoped
  )
  return { asked, questions, events, relists, ends, logged, warnings, skipped, told: () => events.map(told) }
})

const undecodableOf = (keys: ReadonlySet<string> | undefined): string =>
  keys === undefined ? "" : `~${[...keys].join()}`

/** A short form of an event: `=a,b@9` is a list, `=a@9~b` one in which b is undecodable, `+a@3` applied, `-a@4` deleted. */
export const told = (event: ClusterEvent): string => {
  switch (event._tag) {
    case "NamespacesReplaced":
      return `=${event.items.map((item) => item.name).join(",")}@${event.resourceVersion}${undecodableOf(event.undecodable)}`
    case "DeploymentsReplaced":
      return `=${event.items.map((item) => `${item.namespace}/${item.name}:${item.replicas}`).join(",")}@${event.resourceVersion}${undecodableOf(event.undecodable)}`
    case "NamespaceApplied":
      return `+${event.object.name}@${event.object.resourceVersion}`
    case "DeploymentApplied":
      return `+${event.object.namespace}/${event.object.name}:${event.object.replicas}@${event.object.resourceVersion}`
    case "NamespaceDeleted":
      return `-${event.name}@${event.resourceVersion}`
    case "DeploymentDeleted":
      return `-${event.ref.namespace}/${event.ref.name}@${event.resourceVersion}`
    case "Heard":
      return "heard"
    case "Lost":
      return "lost"
  }
}
