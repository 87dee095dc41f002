/**
 * The existence of named namespaces, for a service that may not list them: a Role permits `get` of its own namespace
 * and nothing more, so each is asked for by name, again and again.
 */
import { Duration, Effect, Option, Queue, Random, Stream } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import type { NamespaceName } from "../contract/Names.ts"
import type { NamespaceObject } from "../model/ReadModel.ts"
import { ResourceVersion } from "../model/ResourceVersion.ts"
import * as Backoff from "../retry/Backoff.ts"
import { InformerObserver } from "./InformerObserver.ts"
import { KubeApi } from "./KubeApi.ts"
import type { KubeError } from "./KubeErrors.ts"

/** How often the namespaces are asked for. */
export interface NamespacePollOptions {
  /** Between two rounds, 20 % more or less at random. Default: 15 seconds. */
  readonly pollEvery?: Duration.Input | undefined
  /** The first wait after a round that failed; the longest is `pollEvery`. Default: 0.8 seconds. */
  readonly backoffFirst?: Duration.Input | undefined
}

/** Namespaces asked for at the same time. */
const concurrency = 4

// There is no list whose version this could be, and no watch event that it is compared with.
const noVersion = ResourceVersion.make("0")

/**
 * The namespaces of these names that exist: `NamespacesReplaced` once each has been answered for, and again when that
 * changes; `Heard` after a round in which all were, `Lost` when the first is not. One that cannot be asked for stays
 * what it was. The stream neither fails nor ends.
 */
export const make = (
  names: ReadonlyArray<NamespaceName>,
  options: NamespacePollOptions = {}
): Stream.Stream<ClusterEvent, never, KubeApi> =>
  Stream.callback<ClusterEvent, never, KubeApi>((queue) => run(names, options, (event) => Queue.offer(queue, event)), {
    bufferSize: 64,
    strategy: "suspend"
  })

const run = Effect.fnUntraced(function* (
  names: ReadonlyArray<NamespaceName>,
  options: NamespacePollOptions,
  passOn: (event: ClusterEvent) => Effect.Effect<unknown>
) {
  const api = yield* KubeApi
  // To whoever observes, the poll is the watch of the namespaces: open while all are answered for.
  const observer = yield* InformerObserver
  const emit = (event: ClusterEvent) =>
    Effect.suspend(() => {
      observer.emitting("namespaces")
      return passOn(event)
    })
  const pollMillis = Duration.toMillis(options.pollEvery ?? "15 seconds")
  const backoff = yield* Backoff.make(options.backoffFirst ?? "800 millis", Duration.millis(pollMillis))
  const known = new Map<NamespaceName, Option.Option<NamespaceObject>>()
  const troubled = new Set<NamespaceName>()
  let told: string | undefined
  let live = false

  const failed = (name: NamespaceName, error: KubeError) => {
    const said = troubled.has(name)
    troubled.add(name)
    const text =
      error._tag === "KubeStatusError" && error.isForbidden
        ? `the cluster does not permit this service to ${error.operation}: grant it the verb get on this namespace`
        : `cannot ${error.operation}: trying again`
    return Effect.logWithLevel(said ? "Debug" : "Warn")(text).pipe(
      Effect.annotateLogs({ resource: "namespaces", namespace: name, error: error.message }),
      Effect.as(false)
    )
  }

  const ask = (name: NamespaceName) =>
    Effect.matchEffect(api.getNamespace(name), {
      onFailure: (error) => failed(name, error),
      onSuccess: (found) =>
        Effect.sync(() => {
          known.set(name, found)
          troubled.delete(name)
          return true
        })
    })

  const round = Effect.gen(function* () {
    const answered = yield* Effect.forEach(names, ask, { concurrency })
    const existing = [...known.values()].flatMap(Option.toArray)
    const words = existing.map(({ name, resourceVersion }) => `${name}@${resourceVersion}`).join()
    if (known.size === names.length && words !== told) {
      yield* emit({ _tag: "NamespacesReplaced", items: existing, resourceVersion: noVersion })
      told = words
    }
    if (answered.every((one) => one)) {
      yield* live ? Effect.void : observer.watchStarted("namespaces")
      yield* observer.bookmark("namespaces", noVersion)
      live = true
      yield* emit({ _tag: "Heard", resource: "namespaces" })
      yield* backoff.reset
      return yield* Effect.sleep(yield* Random.nextIntBetween(0.8 * pollMillis, 1.2 * pollMillis))
    }
    if (live) {
      live = false
      yield* observer.watchEnded("namespaces", "failed")
      yield* emit({ _tag: "Lost", resource: "namespaces" })
    }
    return yield* backoff.wait()
  })

  return yield* Effect.forever(round)
})
