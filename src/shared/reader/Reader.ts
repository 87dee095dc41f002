/** Follows the shared log in Redis, and emits the events that watches of this instance would emit. */
import { Chunk, Clock, Effect, type FileSystem, Queue, Random, Stream } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { ClusterEvent } from "../../model/ClusterEvent.ts"
import { ClusterIdentity } from "../../model/ClusterIdentity.ts"
import { monotonicMillis } from "../../model/MonotonicTime.ts"
import * as Backoff from "../../retry/Backoff.ts"
import { keysOf } from "../redis/Keys.ts"
import { step } from "./ReaderProtocol.ts"
import { ask } from "./ReaderQueries.ts"
import { type Action, type Emission, initial, type Input } from "./ReaderState.ts"
import * as RedisSession from "../redis/RedisSession.ts"
import { SharedCacheObserver } from "../SharedCacheObserver.ts"
import { backoffOf, redisOptions, type SharedCacheOptions } from "../SharedCacheOptions.ts"
import { replacedBy, takeEvent } from "../SharedObject.ts"
import * as SharedRedis from "../redis/SharedRedis.ts"

type Services = ClusterIdentity | FileSystem.FileSystem
type Emit = (events: NonEmptyReadonlyArray<ClusterEvent>) => Effect.Effect<unknown>

/**
 * The events of the cluster; each array is one step. The stream neither fails nor ends. While Redis cannot be reached, or
 * no leader is alive, all watches are `Lost` and the reader retries.
 */
export const events = (options: SharedCacheOptions): Stream.Stream<ClusterEvent, never, Services> =>
  Stream.callback<NonEmptyReadonlyArray<ClusterEvent>, never, Services>(
    (queue) => run(options, (events) => Queue.offer(queue, events)),
    { bufferSize: 16, strategy: "suspend" }
  ).pipe(Stream.flattenArray)

/** Drives the protocol: performs its actions, and then gives it the reply to its request. */
const run = Effect.fnUntraced(function* (
  options: SharedCacheOptions,
  emit: Emit
): Effect.fn.Return<never, never, Services> {
  const observer = yield* SharedCacheObserver
  const clock = yield* Clock.Clock
  const { first, longest } = backoffOf(options)
  const backoff = yield* Backoff.make(first, longest)
  const connection = redisOptions(options)
  const identity = yield* ClusterIdentity
  let state = initial(options, yield* identity.current)

  let asked = monotonicMillis(clock)

  const take = Effect.fnUntraced(function* (input: Input) {
    const now = { millis: monotonicMillis(clock), asked, jitter: yield* Random.nextBetween(0.8, 1.2) }
    const [next, actions] = step(state, input, now)
    state = next
    for (const action of actions) yield* perform(action, observer, emit)
    return next.request
  })
  const advance = Effect.fnUntraced(function* (input: Input) {
    const cluster = yield* identity.current
    if (cluster !== state.cluster) yield* take({ _tag: "Identified", cluster })
    const request = yield* take(input)
    asked = monotonicMillis(clock)
    return request
  })

  /** One connection. It lasts until a command fails. */
  const session = Effect.gen(function* () {
    const redis = yield* RedisSession.connect(connection)
    const source = { redis, keys: keysOf(options.keyPrefix), commandTimeout: connection.commandTimeout }
    let request = yield* advance({ _tag: "Connected" })
    while (request._tag !== "Connect") request = yield* advance(yield* ask(source, request))
    return request
  })

  while (true) {
    const request = yield* Effect.catch(Effect.scoped(session), (error) =>
      advance({ _tag: "Disconnected", reason: SharedRedis.reasonOf(error) })
    )
    if (request._tag === "Connect" && request.afresh) yield* backoff.reset
    yield* backoff.wait()
  }
})

const perform = (action: Action, observer: SharedCacheObserver, emit: Emit): Effect.Effect<unknown> => {
  switch (action._tag) {
    case "Emit":
      return emit(Chunk.toReadonlyArray(Chunk.map(action.emissions, eventOf)))
    case "Log":
      return Effect.logWithLevel(action.level)(action.message).pipe(Effect.annotateLogs(action.annotations))
    case "Die":
      return Effect.die(new Error(action.message))
    case "ObserveForeign":
      return observer.foreign(action.foreign)
    case "ObserveConnected":
      return observer.connected(action.connected)
    case "ObserveLoaded":
      return observer.loaded(action.reason)
    case "ObserveLoadFailed":
      return observer.loadFailed
    case "ObserveRead":
      return observer.read(action.entries, action.lagMillis)
  }
}

/** Merges a snapshot with the events since its scan began. Mutates the objects, which nothing else refers to. */
const eventOf = (emission: Emission): ClusterEvent => {
  if (emission._tag !== "Snapshot") return emission
  const { events, objects, scope, version } = emission
  for (const event of events) takeEvent(objects, event)
  return replacedBy(objects, scope, version)
}
