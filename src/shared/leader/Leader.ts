/**
 * The leader lists and watches the cluster, and shares what it sees through Redis. Every candidate stands by to lead.
 *
 * A leader steps down when anything goes wrong, or may have gone wrong. The next leader lists the cluster anew.
 */
import { Cause, Clock, Data, Duration, Effect, Option, Random, Ref, Schema, Stream, SynchronizedRef } from "effect"
import type { Redis, RedisError } from "effect/persistence/Redis"
import { randomUUID } from "node:crypto"
import type { ClusterEvent } from "../../model/ClusterEvent.ts"
import { ClusterIdentity, type Identity } from "../../model/ClusterIdentity.ts"
import { monotonicMillis } from "../../model/MonotonicTime.ts"
import * as Backoff from "../../retry/Backoff.ts"
import { type Keys, keysOf, metaFields, watchedField } from "../redis/Keys.ts"
import * as LeaderState from "./LeaderState.ts"
import * as LeaderWord from "./LeaderWord.ts"
import { otherCluster } from "../OtherCluster.ts"
import * as RedisSession from "../redis/RedisSession.ts"
import * as Scripts from "../redis/Scripts.ts"
import { SharedCacheObserver } from "../SharedCacheObserver.ts"
import {
  backoffOf,
  beatEvery,
  patienceOf,
  redisOptions,
  renewEvery,
  type SharedCacheOptions
} from "../SharedCacheOptions.ts"
import { encode, type ToldEvent } from "../SharedLog.ts"
import {
  appliedOf,
  changeOf,
  type ListEvent,
  noObjects,
  takeField,
  undecodableFields,
  withLastKnown
} from "../SharedObject.ts"
import * as SharedRedis from "../redis/SharedRedis.ts"
import { watchScopesOf } from "../WatchScope.ts"

/** A leader must step down: Redis refused its write, or it cannot watch the cluster. */
class Deposed extends Data.TaggedError("Deposed")<{ readonly because: "lease" | "log" | "lists" | "watch" }> {}

/** Redis holds the state of another cluster: this candidate must not lead. */
class OtherCluster extends Data.TaggedError("OtherCluster")<{ readonly found: Identity }> {}

const reasons = {
  lease: "the lease expired or another instance holds it",
  log: "the log does not end with this leader's last entry",
  lists: "a list that this leader wrote is gone",
  watch: "it cannot watch the cluster; another candidate may try"
} as const satisfies Record<Deposed["because"], string>

const reasonOf = (error: Deposed | RedisError) =>
  error._tag === "Deposed" ? reasons[error.because] : SharedRedis.reasonOf(error)

/** The maximum time that a leader goes on without a complete view of the cluster. It doubles with each failed term. */
const longestPatienceMillis = 3_600_000
/** The longest wait before a candidate asks for the lease again. */
const askEvery = Duration.seconds(1)
/** How long a leader that cannot watch the cluster leaves the lease to others. */
const othersTurn = Duration.times(askEvery, 5)
/** How long a leader that ends waits for the release of its lease. Without it, the lease expires. */
const releaseWithin = Duration.seconds(1)
/** Events per entry, and objects per command. */
const eventsAtOnce = 64
const objectsAtOnce = 500
/** How long a replaced list is kept for its readers, and an unfinished one for its leader. */
const keptMillis = 60_000
const defaultMaxEntries = 4096

/** The state that outlasts a term. */
interface Candidate {
  readonly options: SharedCacheOptions
  readonly keys: Keys
  readonly cluster: Identity
  /** The other cluster that was last logged: repetitions are logged as `Debug`. */
  readonly loggedCluster: Ref.Ref<string>
  /** How long the next term tolerates an incomplete view of the cluster, in milliseconds. */
  readonly patience: Ref.Ref<number>
  /** The token of the last term. If its lease was not released, it is still this candidate's. */
  readonly lastToken: Ref.Ref<string>
}

/** One connection, with at most one leadership. */
interface Term extends Candidate {
  readonly redis: Redis["Service"]
  /** A write holds it, so that each write names the entry before it. */
  readonly known: SynchronizedRef.SynchronizedRef<LeaderState.State>
  readonly word: Ref.Ref<LeaderWord.LeaderWord>
  /** When it last renewed the lease, by the monotonic clock. */
  readonly renewedAt: Ref.Ref<number>
}

const decodeAcquired = Schema.decodeUnknownResult(
  Schema.Union([
    Schema.Null,
    Schema.String.check(Schema.isPattern(/^[1-9][0-9]{0,14}$/)),
    Schema.Tuple([Schema.String, Schema.String])
  ])
)
const decodeOutcome = Schema.decodeUnknownResult(Schema.Literals(["done", "lease", "log", "lists"]))
const decodeTexts = Schema.decodeUnknownResult(Schema.Array(Schema.NullOr(Schema.String)))
const decodeTime = Schema.decodeUnknownResult(Schema.Tuple([Schema.NumberFromString, Schema.NumberFromString]))
const decodePairs = Schema.decodeUnknownResult(Schema.Array(Schema.String))

/** Stands by to lead, without end. Each term runs `source` anew. */
export const stand = Effect.fnUntraced(function* <R>(
  options: SharedCacheOptions,
  source: Stream.Stream<ClusterEvent, never, R>
) {
  const candidate: Candidate = {
    options,
    keys: keysOf(options.keyPrefix),
    // Before the cluster answers there is nothing to publish.
    cluster: yield* (yield* ClusterIdentity).determined,
    loggedCluster: yield* Ref.make(""),
    patience: yield* Ref.make(Duration.toMillis(patienceOf(options))),
    lastToken: yield* Ref.make("")
  }
  const { first, longest } = backoffOf(options)
  const backoff = yield* Backoff.make(first, longest)
  while (true) {
    const began = yield* Clock.currentTimeMillis
    yield* Effect.catch(Effect.scoped(serve(candidate, source)), (error) => ended(candidate, error))
    // A term that outlasted a lease is not part of a series of failures.
    if ((yield* Clock.currentTimeMillis) - began > Duration.toMillis(options.lease)) yield* backoff.reset
    yield* backoff.wait()
  }
})

const ended = Effect.fnUntraced(function* (
  { cluster, loggedCluster, options: { keyPrefix, lease } }: Candidate,
  error: Deposed | OtherCluster | RedisError
) {
  if (error._tag === "OtherCluster") {
    const { annotations, message } = otherCluster(keyPrefix, cluster, error.found)
    const isRepeated = (yield* Ref.getAndSet(loggedCluster, annotations.found)) === annotations.found
    return yield* Effect.logWithLevel(isRepeated ? "Debug" : "Error")(`Cannot stand by as leader. ${message}`).pipe(
      Effect.annotateLogs(annotations)
    )
  }
  yield* Effect.logDebug("Cannot stand by as leader: retrying").pipe(Effect.annotateLogs({ reason: reasonOf(error) }))
  if (error._tag === "Deposed" && error.because === "watch") yield* Effect.sleep(Duration.min(lease, othersTurn))
})

/** Connects, waits for the lease and leads. */
const serve = Effect.fnUntraced(function* <R>(candidate: Candidate, source: Stream.Stream<ClusterEvent, never, R>) {
  const { keys, options } = candidate
  const redis = yield* RedisSession.connect(redisOptions(options))
  const state = LeaderState.initial(randomUUID(), watchScopesOf(options.namespaces), options.namespaces !== undefined)
  const term: Term = {
    ...candidate,
    redis,
    known: yield* SynchronizedRef.make(state),
    word: yield* Ref.make(LeaderWord.initial(state.scopes.length)),
    renewedAt: yield* Ref.make(-Infinity)
  }
  // Registered before the lease is requested: a lost reply may have granted it.
  yield* Effect.addFinalizer(() =>
    Effect.flatMap(SynchronizedRef.get(term.known), (state) =>
      Effect.ignore(
        SharedRedis.within(releaseWithin)(
          redis.eval(Scripts.release)(keys, nextEntry(term, state, { _tag: "Ended" }, Infinity))
        )
      )
    )
  )
  const epoch = yield* acquire(term, state)
  yield* SynchronizedRef.set(term.known, { ...state, last: { epoch, seq: 0 } })
  yield* Ref.set(candidate.lastToken, state.token)
  yield* Ref.set(candidate.loggedCluster, "")
  yield* Effect.logInfo("Became leader").pipe(Effect.annotateLogs({ epoch }))
  const observer = yield* SharedCacheObserver
  yield* Effect.acquireRelease(observer.leading(true), () => observer.leading(false))
  return yield* Effect.onError(lead(term, source), logEnd)
})

const logEnd = (cause: Cause.Cause<Deposed | RedisError>) => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  return Effect.logWithLevel(error === undefined ? "Info" : "Warn")("Stopped leading").pipe(
    Effect.annotateLogs(error === undefined ? {} : { reason: reasonOf(error) })
  )
}

/** Asks for the lease until it is granted, and returns the epoch. */
const acquire = Effect.fnUntraced(function* (term: Term, { scopes, token }: LeaderState.State) {
  const { cluster, keys, lastToken, options, redis } = term
  const names = scopes.map(({ scope }) => scope.name)
  const askMillis = Math.min(Duration.toMillis(askEvery), Duration.toMillis(renewEvery(options)))
  const request = {
    token,
    before: yield* Ref.get(lastToken),
    leaseMillis: Duration.toMillis(options.lease),
    maxEntries: options.maxEntries ?? defaultMaxEntries,
    entry: encode({ _tag: "Began", cluster, scopes: names }),
    watched: JSON.stringify(names),
    cluster
  }
  while (true) {
    const acquired = yield* SharedRedis.readable(decodeAcquired(yield* redis.eval(Scripts.acquire)(keys, request)))
    if (typeof acquired === "string") return Number(acquired)
    if (acquired !== null) {
      const [uid, endpoint] = acquired
      return yield* new OtherCluster({ found: { endpoint, ...(uid === "" ? {} : { uid }) } })
    }
    yield* Effect.sleep(yield* Random.nextIntBetween(0.5 * askMillis, askMillis))
  }
})

/** Leads until something goes wrong. */
const lead = Effect.fnUntraced(function* <R>(term: Term, source: Stream.Stream<ClusterEvent, never, R>) {
  yield* takeOver(term)
  yield* compareClocks(term)
  yield* speak(term, LeaderWord.begun)
  return yield* Effect.raceAllFirst([
    Effect.andThen(
      Stream.runForEachArray(source, (events) =>
        Effect.andThen(speak(term, LeaderWord.taken), Effect.andThen(share(term, events), speak(term, LeaderWord.told)))
      ),
      Effect.die(new Error("The stream of cluster events ended."))
    ),
    Effect.forever(Effect.andThen(Effect.sleep(beatEvery(term.options)), beat(term))),
    Effect.forever(Effect.andThen(Effect.sleep(LeaderWord.tickMillis), speak(term, LeaderWord.ticked))),
    untilBlind(term)
  ])
})

/** Finds the lists of earlier leaders, and retires those of scopes that this leader does not watch. */
const takeOver = Effect.fnUntraced(function* ({ keys, known, options, redis }: Term) {
  const { scopes, token } = yield* SynchronizedRef.get(known)
  const reply = yield* SharedRedis.within(renewEvery(options))(redis.send("HGETALL", keys.scopes))
  const pairs = yield* SharedRedis.readable(decodePairs(reply))
  for (let at = 0; at + 1 < pairs.length; at += 2) {
    const [name = "", generation = ""] = pairs.slice(at, at + 2)
    // Never touch a key that no leader made.
    if (name === watchedField || !keys.isGeneration(generation)) continue
    if (scopes.some(({ scope }) => scope.name === name)) {
      yield* SynchronizedRef.update(known, (state) => LeaderState.inUse(state, name, generation))
    } else {
      yield* redis.eval(Scripts.retire)(keys, { token, scope: name, generation, keptMillis })
    }
  }
})

/** Deposes the leader once its view of the cluster has been incomplete for longer than its patience. */
const untilBlind = Effect.fnUntraced(function* ({ known, options, patience }: Term) {
  let sawAllAt = yield* Clock.currentTimeMillis
  while (true) {
    yield* Effect.sleep(renewEvery(options))
    const now = yield* Clock.currentTimeMillis
    const limit = yield* Ref.get(patience)
    const state = yield* SynchronizedRef.get(known)
    // Another leader would need the same memory.
    if (state.isOutOfMemory || LeaderState.seesAll(state)) {
      sawAllAt = now
      yield* Ref.set(patience, Duration.toMillis(patienceOf(options)))
    } else if (now - sawAllAt >= limit) {
      // A list can take longer. With constant patience each candidate in turn would begin one, and none would finish.
      yield* Ref.set(patience, Math.min(2 * limit, longestPatienceMillis))
      return yield* new Deposed({ because: "watch" })
    }
  }
})

/** Milliseconds of a clock that never goes back. */
const monotonic = Effect.map(Clock.Clock, monotonicMillis)

/** Updates the state that dates this leader's entries. */
const speak = ({ word }: Term, change: (word: LeaderWord.LeaderWord, now: number) => LeaderWord.LeaderWord) =>
  Effect.flatMap(monotonic, (now) => Ref.update(word, (word) => change(word, now)))

/** Measures the offset of Redis' clock. */
const compareClocks = Effect.fnUntraced(function* (term: Term) {
  const reply = yield* SharedRedis.within(renewEvery(term.options))(term.redis.send("TIME"))
  const [seconds, micros] = yield* SharedRedis.readable(decodeTime(reply))
  yield* speak(term, (word, now) => LeaderWord.compared(word, seconds * 1000 + micros / 1000, now))
})

const nextEntry = ({ options }: Term, state: LeaderState.State, entry: Parameters<typeof encode>[0], at: number) =>
  LeaderState.nextEntry(state, entry, options.maxEntries ?? defaultMaxEntries, at)

/**
 * Writes one entry, after any write in progress. A refusal deposes the leader. `asOf`: the time until which all events are
 * told, by the monotonic clock; `at`: the same by Redis' clock.
 */
const write = (
  { known, word }: Term,
  attempt: (
    state: LeaderState.State,
    asOf: number,
    at: number
  ) => readonly [LeaderState.State, Effect.Effect<unknown, RedisError>]
) =>
  SynchronizedRef.updateEffect(
    known,
    Effect.fnUntraced(function* (state) {
      const spoken = yield* Ref.get(word)
      const asOf = LeaderWord.asOf(spoken, yield* monotonic)
      const [next, command] = attempt(state, asOf, asOf + spoken.redisAhead)
      const outcome = yield* SharedRedis.readable(decodeOutcome(yield* command))
      return outcome === "done" ? LeaderState.written(next) : yield* new Deposed({ because: outcome })
    })
  )

/** Each heartbeat is an entry. Some also renew the lease, and write the liveness and the age of every scope. */
const beat = Effect.fnUntraced(function* (term: Term) {
  const { keys, options, redis, renewedAt } = term
  const everyMillis = Duration.toMillis(beatEvery(options))
  const now = yield* monotonic
  if (now - (yield* Ref.get(renewedAt)) < Duration.toMillis(renewEvery(options)) - everyMillis / 2) {
    return yield* write(term, (state, _, at) => {
      const entry = nextEntry(term, state, { _tag: "Beat", everyMillis }, at)
      return [state, redis.eval(Scripts.beat)(keys, entry, [], undefined)]
    })
  }
  yield* compareClocks(term)
  yield* write(term, (state, asOf, at) => {
    const entry = nextEntry(term, state, LeaderState.fullBeat(state, everyMillis, asOf), at)
    const changes = LeaderState.beatChanges(state, asOf)
    return [state, redis.eval(Scripts.beat)(keys, entry, changes, Duration.toMillis(options.lease))]
  })
  yield* Ref.set(renewedAt, now)
})

/**
 * Retries a write that Redis refuses because it is out of memory. The leader stays: the next one would list the cluster
 * again and fail at the same write. Meanwhile the readers' age grows, because a heartbeat carries the time until which all
 * events are told.
 */
const untilFits = <R>(term: Term, attempt: Effect.Effect<void, Deposed | RedisError, R>) =>
  Effect.catchIf(attempt, isOutOfMemory, () => Effect.scoped(waitForMemory(term, attempt)))

const isOutOfMemory = (error: Deposed | RedisError) => error._tag === "RedisError" && SharedRedis.isOutOfMemory(error)

const waitForMemory = Effect.fnUntraced(function* <R>(
  term: Term,
  attempt: Effect.Effect<void, Deposed | RedisError, R>
) {
  const { known, options, redis } = term
  const observer = yield* SharedCacheObserver
  yield* Effect.acquireRelease(observer.outOfMemory(true), () => observer.outOfMemory(false))
  yield* Effect.logError("Redis is out of memory: raise maxmemory or remove other keys").pipe(
    Effect.annotateLogs({ maxmemory: yield* SharedRedis.maxMemory(redis, renewEvery(options)) })
  )
  yield* SynchronizedRef.update(known, (state) => LeaderState.outOfMemory(state, true))
  const backoff = yield* Backoff.make(backoffOf(options).first, renewEvery(options))
  do {
    yield* backoff.wait()
  } while (yield* Effect.catchIf(Effect.as(attempt, false), isOutOfMemory, stillOutOfMemory))
  yield* SynchronizedRef.update(known, (state) => LeaderState.outOfMemory(state, false))
  yield* Effect.logInfo("Redis has memory again")
})

const stillOutOfMemory = () => Effect.as(Effect.logDebug("Redis is still out of memory: retrying"), true)

/** Shares events in order: lists each by itself, the others in entries of limited size. */
const share = Effect.fnUntraced(function* (term: Term, events: ReadonlyArray<ClusterEvent>) {
  let told: Array<ToldEvent> = []
  for (const event of events) {
    if (!LeaderState.isList(event)) {
      told.push(event)
      if (told.length < eventsAtOnce) continue
    }
    if (told.length > 0) yield* tell(term, told)
    told = []
    if (LeaderState.isList(event)) yield* list(term, event)
  }
  if (told.length > 0) yield* tell(term, told)
})

const tell = (term: Term, events: ReadonlyArray<ToldEvent>) =>
  untilFits(
    term,
    write(term, (state, asOf, at) => {
      const [next, changes] = LeaderState.takeEvents(state, events, asOf)
      const entry = nextEntry(term, state, { _tag: "Told", events }, at)
      return [next, term.redis.eval(Scripts.append)(term.keys, entry, changes, undefined)]
    })
  )

/** Fills a new hash, then replaces the one in use. Undecodable objects are copied from the latter. */
const list = Effect.fnUntraced(function* (term: Term, event: ListEvent) {
  const { keys, known, redis } = term
  // It can have waited since then.
  const heardAt = (yield* Ref.get(term.word)).toldUntil
  const state = yield* SynchronizedRef.updateAndGet(known, LeaderState.begun)
  const scope = LeaderState.scopeOf(state, event)
  if (scope === undefined) return
  const { name } = scope.scope
  const generation = keys.generation(name, state.last.epoch, state.lists)
  const lastKnown = yield* readLastKnown(term, scope, undecodableFields(event))
  const objects = appliedOf(withLastKnown(event, lastKnown))
  yield* untilFits(term, fill(term, generation, objects))
  yield* write(term, (latest, asOf, at) => [
    LeaderState.committed(latest, name, { generation, version: event.resourceVersion, heardAt }),
    redis.eval(Scripts.commit)(keys, nextEntry(term, latest, { _tag: "Listed", scope: name }, at), {
      scope: name,
      generation,
      before: scope.inUse,
      count: objects.length,
      keptMillis,
      agoMillis: Math.max(0, Math.ceil(asOf - heardAt)),
      meta: [
        [metaFields.epoch, String(state.last.epoch)],
        [metaFields.number, String(state.lists)],
        [metaFields.version, event.resourceVersion],
        [metaFields.live, LeaderState.scopeOf(latest, event)?.live === true ? "1" : "0"]
      ]
    })
  ])
})

/** Reads objects from the hash in use. Omits those that are absent or cannot be decoded. */
const readLastKnown = Effect.fnUntraced(function* (
  { options, redis }: Term,
  { inUse, scope }: LeaderState.LedScope,
  fields: ReadonlyArray<string>
) {
  const objects = noObjects(scope)
  if (inUse === undefined) return objects
  for (let at = 0; at < fields.length; at += objectsAtOnce) {
    const asked = fields.slice(at, at + objectsAtOnce)
    const reply = yield* SharedRedis.within(renewEvery(options))(redis.send("HMGET", inUse, ...asked))
    const texts = yield* SharedRedis.readable(decodeTexts(reply))
    for (const [index, text] of texts.entries()) if (text !== null) takeField(objects, asked[index] ?? "", text)
  }
  return objects
})

/** Fills a new hash. If Redis is out of memory, deletes it, so that it holds no memory while the leader waits. */
const fill = ({ redis }: Term, generation: string, objects: ReadonlyArray<ClusterEvent>) =>
  Effect.gen(function* () {
    for (let at = 0; at < objects.length; at += objectsAtOnce) {
      const changes = objects.slice(at, at + objectsAtOnce).flatMap((one) => changeOf(one) ?? [])
      const fields = changes.map(({ field, text }) => [field, text ?? ""] as const)
      yield* redis.eval(Scripts.fill)(generation, keptMillis, fields)
    }
  }).pipe(Effect.tapError((error) => (isOutOfMemory(error) ? redis.send("UNLINK", generation) : Effect.void)))
