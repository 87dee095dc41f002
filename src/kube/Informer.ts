/**
 * Lists and watches the objects of one kind, as a stream of events. `InformerProtocol` decides; this module performs
 * its actions with the Kubernetes API, the clock and the back-off.
 */
import { type Cause, Clock, Duration, Effect, type LogLevel, Queue, Random, Stream } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import type { ResourceVersion } from "../model/ResourceVersion.ts"
import * as Backoff from "../retry/Backoff.ts"
import { CollectedList } from "./CollectedList.ts"
import { InformerObserver, type WatchEnd } from "./InformerObserver.ts"
import { KubeApi } from "./KubeApi.ts"
import type { KubeError } from "./KubeErrors.ts"
import * as Protocol from "./InformerProtocol.ts"
import * as State from "./InformerState.ts"
import { SkippedObjects } from "./SkippedObjects.ts"
import type { ResourceKind } from "./wire/ResourceKind.ts"

type Versioned = { readonly resourceVersion: ResourceVersion }

/** How an informer lists and watches. The defaults follow client-go and kube-apiserver. */
export interface InformerOptions {
  /** Begin with a streaming list. The informer falls back to the paged list on a server without it. Default: true. */
  readonly streamingList?: boolean | undefined
  /** Objects in a page of the paged list. Default: 500. */
  readonly pageSize?: number | undefined
  /** Watch timeout, random between these two, so that watches do not all end at once. Default: 5 and 10 minutes. */
  readonly watchAtLeast?: Duration.Input | undefined
  readonly watchAtMost?: Duration.Input | undefined
  /** Time after the watch timeout at which a watch that the server did not end is closed. Default: 30 seconds. */
  readonly watchGrace?: Duration.Input | undefined
  /**
   * Silence after which a watch is closed, once the server has sent a periodic bookmark. Default: 3 minutes, three
   * times the bookmark period of kube-apiserver. A server without bookmarks may be silent for any time.
   */
  readonly silenceLimit?: Duration.Input | undefined
  /** Silence during a streaming list after which the informer falls back to the paged list. Default: 30 seconds. */
  readonly listSilenceLimit?: Duration.Input | undefined
  /** Time after which a streaming list is abandoned for the paged list. Default: 60 seconds. */
  readonly listTimeout?: Duration.Input | undefined
  /** Interval of the periodic relist, with 20 % jitter. It waits for the end of a watch. 0: never. Default: 6 hours. */
  readonly relistInterval?: Duration.Input | undefined
  /** First and longest back-off after failures. Default: 0.8 and 30 seconds. */
  readonly backoffFirst?: Duration.Input | undefined
  readonly backoffLongest?: Duration.Input | undefined
}

const endOf = (error: KubeError): WatchEnd => {
  switch (error._tag) {
    case "KubeUnreachable":
      return "unreachable"
    case "KubeDecodeError":
      return "undecodable"
    case "KubeStatusError":
      return error.isExpired ? "expired" : error.isForbidden ? "forbidden" : "failed"
  }
}

/**
 * The events of all objects of `kind`: one *Replaced* event with the whole list, then its changes.
 *
 * The stream neither fails nor ends: it retries with back-off until its scope closes. A new list is one *Replaced*
 * event, so that objects are never missing in between. `Heard` is emitted when a watch opens, for each bookmark, and when
 * the server ends the watch cleanly. `Lost` is emitted once when a watch ends, even if it is resumed immediately. After a
 * resumption an event may be repeated.
 */
export const make = <A extends { readonly resourceVersion: ResourceVersion }>(
  kind: ResourceKind<A>,
  options: InformerOptions = {}
): Stream.Stream<ClusterEvent, never, KubeApi> =>
  Stream.callback<ClusterEvent, never, KubeApi>((queue) => run(kind, options, queue), {
    bufferSize: 1024,
    strategy: "suspend"
  })

type Events = Queue.Enqueue<ClusterEvent, Cause.Done>

type Ended = { readonly end: WatchEnd; readonly error?: KubeError }

/** An action that is not an operation. */
type Immediate<A> = Exclude<State.Action<A>, State.Operation>

const isOperation = <A>(action: State.Action<A>): action is State.Operation =>
  action._tag === "ListPage" || action._tag === "OpenWatch" || action._tag === "Wait" || action._tag === "ReadVersion"

/** `random`, from 0 to 1, sets the jitter of the relist interval. */
const settingsOf = <A extends Versioned>(
  kind: ResourceKind<A>,
  options: InformerOptions,
  random: number
): State.Settings => ({
  resource: kind.resource,
  streamingList: options.streamingList ?? true,
  pageSize: options.pageSize ?? 500,
  silenceMillis: Duration.toMillis(options.silenceLimit ?? "3 minutes"),
  listSilenceMillis: Duration.toMillis(options.listSilenceLimit ?? "30 seconds"),
  listTimeoutMillis: Duration.toMillis(options.listTimeout ?? "60 seconds"),
  relistMillis: (0.8 + 0.4 * random) * Duration.toMillis(options.relistInterval ?? "6 hours") || Infinity,
  backoffLongestMillis: Duration.toMillis(options.backoffLongest ?? "30 seconds")
})

/**
 * Performs an immediate action: synchronously, or with the effect that it returns. An effect for every event is too slow.
 */
const performer = <A extends Versioned>(
  kind: ResourceKind<A>,
  list: CollectedList<A>,
  skipped: SkippedObjects,
  observer: InformerObserver,
  resetBackoff: Effect.Effect<void>,
  events: Events
) => {
  const { namespace, resource } = kind
  const scope = namespace === undefined ? {} : { namespace }
  const emit = (event: ClusterEvent): Effect.Effect<unknown> | undefined => {
    observer.emitting(resource)
    return Queue.offerUnsafe(events, event) ? undefined : Queue.offer(events, event)
  }
  const log = (level: LogLevel.Severity, message: string, annotations: Readonly<Record<string, unknown>>) =>
    Effect.logWithLevel(level)(message).pipe(Effect.annotateLogs({ resource, ...scope, ...annotations }))
  return (action: Immediate<A>): Effect.Effect<unknown> | undefined => {
    switch (action._tag) {
      case "CollectPage":
        list.append(action.objects)
        return undefined
      case "Collect":
        list.set(action.object)
        return undefined
      case "Forget":
        list.delete(action.object)
        return undefined
      case "CollectUndecodable":
        list.setUndecodable(action.key)
        return undefined
      case "Skip": {
        const { key, message: error } = action
        return Effect.andThen(
          log(skipped.isNews(key) ? "Warn" : "Debug", "Skipped an object that cannot be decoded", { key, error }),
          observer.skipped(resource)
        )
      }
      case "EmitReplaced": {
        skipped.listed()
        const waiting = emit(kind.replaced(list.items(), action.resourceVersion, list.undecodable()))
        // Cleared last: an interrupted action is performed again.
        return Effect.map(waiting ?? Effect.void, () => list.clear())
      }
      case "EmitApplied":
        skipped.decoded(() => kind.key(action.object))
        return emit(kind.applied(action.object))
      case "EmitDeleted":
        skipped.decoded(() => kind.key(action.object))
        return emit(kind.deleted(action.object))
      case "EmitHeard":
        return emit({ _tag: "Heard", resource, ...scope })
      case "EmitLost":
        return emit({ _tag: "Lost", resource, ...scope })
      case "ResetBackoff":
        return resetBackoff
      case "ObserveListing":
        return observer.listing(resource, action.reason)
      case "ObserveRelisted":
        return observer.relisted(resource, action.reason)
      case "ObserveWatchStarted":
        return observer.watchStarted(resource, namespace)
      case "ObserveWatchEnded":
        return observer.watchEnded(resource, action.end, namespace)
      case "ObserveBookmark":
        return observer.bookmark(resource, action.resourceVersion)
      case "ObserveDecodeError":
        return observer.decodeError(resource, action.error)
      case "Log":
        return log(action.level, action.message, annotationsOf(action.error))
    }
  }
}

const annotationsOf = (error: KubeError | undefined) =>
  error === undefined
    ? {}
    : error._tag === "KubeStatusError"
      ? { error: error.message, code: error.code, reason: error.reason }
      : { error: error.message }

/** The protocol's state, and the actions that have not been performed. */
const makeMachine = <A extends Versioned>(
  settings: State.Settings,
  perform: (action: Immediate<A>) => Effect.Effect<unknown> | undefined
) => {
  // If a watch is interrupted while the consumer is slow, its remaining actions stay here and are performed afterwards.
  const outbox: Array<State.Action<A>> = []
  let performed = 0
  let state = State.initial(settings)

  const take = (input: State.Input<A>): void => {
    const last = outbox.at(-1)
    // Once a step has begun an operation, inputs of the previous one are ignored.
    if (last !== undefined && isOperation(last)) return
    const [next, actions] = Protocol.step(state, input)
    state = next
    for (const action of actions) outbox.push(action)
  }

  const clear = () => {
    outbox.length = 0
    performed = 0
  }

  /** Performs the actions up to the next operation. Succeeds with false if there is one. */
  const settle: Effect.Effect<boolean> = Effect.suspend(() => {
    while (true) {
      const action = outbox[performed]
      if (action === undefined) break
      if (isOperation(action)) return Effect.succeed(false)
      const effect = perform(action)
      if (effect !== undefined) {
        return Effect.flatMap(effect, () => {
          performed += 1
          return settle
        })
      }
      performed += 1
    }
    clear()
    return Effect.succeed(true)
  })

  return {
    state: () => state,
    /** Takes a step for each input and performs the actions. Succeeds with whether the current operation continues. */
    handle: (inputs: ReadonlyArray<State.Input<A>>): Effect.Effect<boolean> =>
      Effect.suspend(() => {
        inputs.forEach(take)
        return settle
      }),
    /** Takes the operation that the last step began. */
    takeOperation: Effect.suspend((): Effect.Effect<State.Operation> => {
      const operation = outbox[performed]
      clear()
      return operation !== undefined && isOperation(operation)
        ? Effect.succeed(operation)
        : Effect.die(new Error(`The informer began no operation in the phase ${state.phase._tag}`))
    })
  }
}

const run = Effect.fnUntraced(function* <A extends Versioned>(
  kind: ResourceKind<A>,
  options: InformerOptions,
  events: Events
): Effect.fn.Return<never, never, KubeApi> {
  const api = yield* KubeApi
  const clock = yield* Clock.Clock
  const { namespace } = kind
  const watchAtLeast = Duration.toSeconds(options.watchAtLeast ?? "5 minutes")
  const watchAtMost = Duration.toSeconds(options.watchAtMost ?? "10 minutes")
  const graceMillis = Duration.toMillis(options.watchGrace ?? "30 seconds")
  const backoff = yield* Backoff.make(options.backoffFirst ?? "800 millis", options.backoffLongest ?? "30 seconds")
  const list = new CollectedList<A>(kind.key)
  const skipped = new SkippedObjects()
  const perform = performer(kind, list, skipped, yield* InformerObserver, backoff.reset, events)
  const { handle, state, takeOperation } = makeMachine(settingsOf(kind, options, yield* Random.next), perform)

  const watchdog = Effect.fnUntraced(function* (since: () => number, deadline: number) {
    while (true) {
      const end = Protocol.overdue(state(), since(), deadline)
      if (typeof end === "string") return { end } satisfies Ended
      yield* Effect.sleep(end)
    }
  })

  const watch = Effect.fnUntraced(function* (from: ResourceVersion | undefined) {
    const requested = clock.currentTimeMillisUnsafe()
    const since = () => clock.currentTimeMillisUnsafe() - requested
    const timeoutSeconds = yield* Random.nextIntBetween(watchAtLeast, watchAtMost)
    const request = { resourceVersion: from, sendInitialEvents: from === undefined, timeoutSeconds, namespace }
    const reading = api.watch(kind, request).pipe(
      Stream.chunks,
      Stream.runForEachWhile((events) => {
        const at = since()
        return handle(events.map((event) => ({ _tag: "Watched", event, at })))
      }),
      Effect.match({
        onSuccess: (): Ended => ({ end: "closed" }),
        onFailure: (error): Ended => ({ end: endOf(error), error })
      })
    )
    const ended = yield* Effect.raceFirst(reading, watchdog(since, timeoutSeconds * 1000 + graceMillis))
    return yield* handle([{ _tag: "WatchEnded", ...ended, at: since() }])
  })

  const listPage = (limit: number | undefined, token: string | undefined) =>
    Effect.matchEffect(api.listPage(kind, { limit, continue: token, namespace }), {
      onSuccess: (page) => handle([{ _tag: "PageListed", page }]),
      onFailure: (error) => handle([{ _tag: "ListFailed", error }])
    })

  const readVersion = Effect.matchEffect(api.listPage(kind, { limit: 1, namespace }), {
    onSuccess: ({ resourceVersion }) => handle([{ _tag: "VersionRead", resourceVersion }]),
    onFailure: (error) => handle([{ _tag: "VersionFailed", error }])
  })

  const beginList = () => {
    list.clear()
    skipped.listing()
  }

  const execute = (operation: State.Operation): Effect.Effect<unknown> => {
    switch (operation._tag) {
      case "ListPage":
        if (operation.continue === undefined) beginList()
        return listPage(operation.limit, operation.continue)
      case "OpenWatch":
        if (operation.from === undefined) beginList()
        return watch(operation.from)
      case "Wait":
        return Effect.andThen(backoff.wait(operation.atLeast), handle([{ _tag: "Waited" }]))
      case "ReadVersion":
        return readVersion
    }
  }

  yield* handle([{ _tag: "Started" }])
  while (true) yield* Effect.flatMap(takeOperation, execute)
})
