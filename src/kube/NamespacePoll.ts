/**
 * Polls namespaces by name, for a service that may not list them: a Role can grant `get` on its own namespace only.
 */
import { Duration, Effect, Option, Queue, Random, Stream } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import type { NamespaceName } from "../contract/Names.ts"
import type { NamespaceObject } from "../model/ReadModel.ts"
import { unversioned } from "../model/ResourceVersion.ts"
import * as Backoff from "../retry/Backoff.ts"
import { InformerObserver } from "./InformerObserver.ts"
import { KubeApi } from "./KubeApi.ts"
import { failureRecord, type KubeError, type Trouble, troubleAfter } from "./KubeErrors.ts"

/** Timing of the poll. */
export interface NamespacePollOptions {
  /** Interval of the rounds, with 20 % jitter. Default: 15 seconds. */
  readonly pollEvery?: Duration.Input | undefined
  /** First back-off after a failed round; the longest is `pollEvery`. Default: 0.8 seconds. */
  readonly backoffFirst?: Duration.Input | undefined
}

/** Concurrent requests. */
const concurrency = 4

/**
 * The namespaces of these names that exist. `NamespacesReplaced` follows the first response for each name, and any
 * change. `Heard` follows a round in which all requests succeeded, `Lost` the first in which one failed. If the
 * request for a namespace fails, its last known state stays. The stream neither fails nor ends.
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
  // Observers see the poll as a watch of the namespaces that is open while all requests succeed.
  const observer = yield* InformerObserver
  const emit = (event: ClusterEvent) =>
    Effect.suspend(() => {
      observer.emitting("namespaces")
      return passOn(event)
    })
  const pollMillis = Duration.toMillis(options.pollEvery ?? "15 seconds")
  const backoff = yield* Backoff.make(options.backoffFirst ?? "800 millis", Duration.millis(pollMillis))
  const known = new Map<NamespaceName, Option.Option<NamespaceObject>>()
  /** The failures of each name whose last request failed. */
  const failing = new Map<NamespaceName, Trouble>()
  let emitted: string | undefined
  let live = false

  const failed = (name: NamespaceName, error: KubeError) => {
    const trouble = troubleAfter(failing.get(name), error)
    failing.set(name, trouble)
    const { level, message } = failureRecord(error, trouble, "the verb get on this namespace")
    return Effect.logWithLevel(level)(message).pipe(
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
          failing.delete(name)
          return true
        })
    })

  const round = Effect.gen(function* () {
    const answered = yield* Effect.forEach(names, ask, { concurrency })
    const existing = [...known.values()].flatMap(Option.toArray)
    const versions = existing.map(({ name, resourceVersion }) => `${name}@${resourceVersion}`).join()
    if (known.size === names.length && versions !== emitted) {
      yield* emit({ _tag: "NamespacesReplaced", items: existing, resourceVersion: unversioned })
      emitted = versions
    }
    if (answered.every((one) => one)) {
      yield* live ? Effect.void : observer.watchStarted("namespaces")
      yield* observer.bookmark("namespaces", unversioned)
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
