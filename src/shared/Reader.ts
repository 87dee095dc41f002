/**
 * Reads what a leader tells through Redis, as the events of a cluster that this instance would have watched itself.
 *
 * A scope's snapshot is the hash that the leader keeps; what the log tells from before the snapshot was read to after it is
 * put on top, so that the two are one. It is shown in one step. Whatever cannot be read, or is not there, changes nothing of
 * what is shown but its age.
 */
import {
  Clock,
  Duration,
  Effect,
  type FileSystem,
  Queue,
  Random,
  Result,
  Schema,
  SchemaTransformation,
  Stream
} from "effect"
import { type Redis, RedisError } from "effect/persistence/Redis"
import * as Backoff from "../retry/Backoff.ts"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import { isOlder, ResourceVersion } from "../model/ResourceVersion.ts"
import { keysOf, metaFields, watchedField } from "./Keys.ts"
import { decode, type LogEntry, type ToldEvent } from "./LogEntry.ts"
import * as LogId from "./LogId.ts"
import { type Scope, scopeNameOf, scopesOf } from "./WatchScope.ts"
import * as Scripts from "./Scripts.ts"
import { type LoadReason, SharedCacheObserver } from "./SharedCacheObserver.ts"
import { beatEvery, redisOptions, type SharedCacheOptions } from "./SharedCacheOptions.ts"
import { metaPrefix, noObjects, type Objects, replacedBy, takeEvent, takeField } from "./SharedObject.ts"
import * as SharedRedis from "./SharedRedis.ts"

/** Entries, and fields of a hash, that are asked for at once. */
const entriesAtOnce = 256
const fieldsAtOnce = 1000

/** Characters of an entry: no leader writes a tenth of it, and to decode more would keep the requests waiting. */
const longestEntry = 1_000_000

/** An entry that seems to be from so long ago, or from so far ahead, makes the clocks be compared again. */
const comparedMillis = 1000

/** Which list a snapshot is of: those of one leader are numbered, and a later leader's come after all of an earlier one's. */
interface Generation {
  readonly epoch: number
  readonly number: number
}

/** What is known of a scope. */
interface Read extends Scope {
  /** The list that is shown, and its version by now. */
  shown: { readonly generation: Generation; version: ResourceVersion } | undefined
  /** Why its snapshot is to be read, if it is. */
  stale: LoadReason | undefined
  /** When to try that again, after it failed, in milliseconds since the epoch. */
  notBefore: number
  /** How often in a row reading it failed; where it did, that has been said. */
  failures: number
  /** Whether the leader's watch is live, by its own word. */
  live: boolean
  /** When the cluster was last heard on that watch, by the clock of Redis. */
  heardAt: number | undefined
  /** The same, of what is shown: it stands still while that does. */
  shownHeardAt: number | undefined
  /** What was last told of the watch. */
  told: { readonly live: boolean; readonly heardAt: number | undefined } | undefined
}

/** A snapshot that is being read, with what the log told meanwhile. */
interface Loading {
  readonly objects: Objects
  readonly reason: LoadReason
  readonly generation: Generation
  version: ResourceVersion
}

const Count = Schema.String.check(Schema.isPattern(/^[0-9]{1,15}$/)).pipe(
  Schema.decodeTo(Schema.Finite, SchemaTransformation.transform({ decode: Number, encode: String }))
)
const Strings = Schema.Array(Schema.String)
const decodeLook = Schema.decodeUnknownResult(Schema.Tuple([Count, Schema.String, Schema.Finite, Strings]))
const decodeScan = Schema.decodeUnknownResult(Schema.Tuple([Schema.String, Strings]))
const decodeMeta = Schema.decodeUnknownResult(
  Schema.Tuple([Count, Count, ResourceVersion, Count, Schema.Literals(["0", "1"])])
)
const decodeWatched = Schema.decodeUnknownResult(Schema.fromJsonString(Strings))
const Entries = Schema.Array(Schema.Tuple([Schema.String, Strings]))
const decodeEntries = Schema.decodeUnknownResult(Schema.NullOr(Schema.Array(Schema.Tuple([Schema.String, Entries]))))
const decodeAt = Schema.decodeUnknownResult(Count)

const fieldsOf = (pairs: ReadonlyArray<string>): ReadonlyMap<string, string> => {
  const fields = new Map<string, string>()
  for (let at = 0; at + 1 < pairs.length; at += 2) fields.set(pairs[at] ?? "", pairs[at + 1] ?? "")
  return fields
}

/** What there is in Redis, as of one moment. */
interface Look {
  /** The time there, in milliseconds since the epoch. */
  readonly now: number
  readonly last: LogId.LogId
  /** What is left of the lease, in milliseconds. */
  readonly leaseLeft: number
  /** The epoch of the leader that lives; undefined where none does. */
  readonly leader: number | undefined
  /** The key of each scope's hash. */
  readonly generations: ReadonlyMap<string, string>
}

/** Why a snapshot was not taken. */
type Unloaded = { readonly problem: string; readonly expected: boolean }

const isAfter = (a: Generation, b: Generation): boolean =>
  a.epoch > b.epoch || (a.epoch === b.epoch && a.number > b.number)

/**
 * Whether a snapshot may take the place of what is shown: where it is a later list's, or no older state of the same. One of
 * an earlier epoch is taken where its leader lives: Redis lost its memory, and its clock went back. Else it is what a
 * replica had not got yet, and the next leader's list comes.
 */
const mayShow = (
  { generation, version }: { readonly generation: Generation; readonly version: ResourceVersion },
  shown: Read["shown"],
  leader: number | undefined
): boolean => {
  if (shown === undefined || isAfter(generation, shown.generation)) return true
  if (isOlder(version, shown.version)) return false
  return isAfter(shown.generation, generation)
    ? generation.epoch < shown.generation.epoch && generation.epoch === leader
    : true
}

/**
 * The events of the cluster, as the log tells them; each array is one step. It neither fails nor ends. Where Redis cannot
 * be reached, or no leader lives, all watches are `Lost`, and it tries again.
 */
export const events = (options: SharedCacheOptions): Stream.Stream<ClusterEvent, never, FileSystem.FileSystem> =>
  Stream.callback<readonly [ClusterEvent, ...Array<ClusterEvent>], never, FileSystem.FileSystem>(
    (queue) => run(options, (step) => Queue.offer(queue, step)),
    { bufferSize: 16, strategy: "suspend" }
  ).pipe(Stream.flattenArray)

const run = Effect.fnUntraced(function* (
  options: SharedCacheOptions,
  passOn: (step: readonly [ClusterEvent, ...Array<ClusterEvent>]) => Effect.Effect<unknown>
): Effect.fn.Return<never, never, FileSystem.FileSystem> {
  const observer = yield* SharedCacheObserver
  const clock = yield* Clock.Clock
  const keys = keysOf(options.keyPrefix)
  const single = options.namespaces !== undefined
  const scopes = new Map<string, Read>(
    scopesOf(options.namespaces).map((scope) => [
      scope.name,
      {
        ...scope,
        shown: undefined,
        stale: "start",
        notBefore: 0,
        failures: 0,
        live: false,
        heardAt: undefined,
        shownHeardAt: undefined,
        told: undefined
      }
    ])
  )
  const expected = [...scopes.keys()].sort().join(", ")
  const firstMillis = Duration.toMillis(options.backoffFirst ?? "200 millis")
  const longestMillis = Duration.toMillis(options.backoffLongest ?? "10 seconds")
  const backoff = yield* Backoff.make(firstMillis, longestMillis)

  /** How far the log has been read; absent, nowhere yet. */
  let position: LogId.LogId | undefined
  /** What Redis' clock is ahead of this one's, in milliseconds. */
  let clockAhead = 0
  /** When the leader last said something, by Redis' clock, and how long after that it is gone. */
  let spokeAt = 0
  let silenceMillis = Duration.toMillis(options.lease)
  /** What another set of scopes the leader watches, if it does. */
  let foreign: string | undefined
  /** The trouble last warned of, so that it is said once and not at every attempt. */
  let trouble: string | undefined
  /** Whether it has been said that an entry cannot be read, since a snapshot was. */
  let saidUnreadable = false
  /** What is to be told with the next step. */
  let outbox: Array<ClusterEvent> = []
  /** The snapshots that are being read. */
  const loading = new Map<string, Loading>()

  const now = () => clock.currentTimeMillisUnsafe() + clockAhead
  const isSilent = () => now() - spokeAt >= silenceMillis

  const sign = (scope: Read, live: boolean): ClusterEvent => ({
    _tag: live ? "Heard" : "Lost",
    resource: scope.resource,
    ...(scope.namespace === undefined ? {} : { namespace: scope.namespace }),
    ...(scope.shownHeardAt === undefined ? {} : { agoMillis: Math.max(0, now() - scope.shownHeardAt) })
  })

  /** Passes on what there is to tell, and of each watch whether what is known is current, where that has changed. */
  const flush = Effect.suspend(() => {
    const silent = isSilent()
    for (const scope of scopes.values()) {
      // A list is not shown to be of an age that nobody knows.
      if (scope.shown === undefined) continue
      const inStep =
        scope.stale === undefined && foreign === undefined && scope.shown.generation.epoch === position?.epoch
      const live = scope.live && !silent && inStep
      if (inStep) scope.shownHeardAt = scope.heardAt
      const { shownHeardAt: heardAt, told } = scope
      // What was told of single objects may be old news, and has made the watch look live.
      if (told?.live === live && (live || (told.heardAt === heardAt && outbox.length === 0))) continue
      scope.told = { live, heardAt }
      outbox.push(sign(scope, live))
    }
    const [first, ...rest] = outbox
    outbox = []
    return first === undefined ? Effect.void : Effect.asVoid(passOn([first, ...rest]))
  })

  const markStale = (scope: Read, reason: LoadReason) => {
    scope.stale = reason
    loading.delete(scope.name)
  }

  const markAllStale = (reason: LoadReason) => {
    for (const scope of scopes.values()) markStale(scope, scope.stale ?? reason)
  }

  const noneLive = () => {
    for (const scope of scopes.values()) scope.live = false
  }

  /** Says it where the leader watches something else than is served here, and where it no longer does. */
  const compare = (watched: ReadonlyArray<string>) => {
    const theirs = [...watched].sort().join(", ")
    const differs = theirs === expected ? undefined : theirs
    if (differs === foreign) return Effect.void
    foreign = differs
    return differs === undefined
      ? Effect.logInfo("The instance that follows the cluster watches what this one serves again")
      : Effect.logError(
          "The instance that follows the cluster watches something else than this one serves: give all of them the same KUBE_NAMESPACES"
        ).pipe(Effect.annotateLogs({ serves: expected, watched: differs }))
  }

  const tell = (id: LogId.LogId, at: number, event: ToldEvent) => {
    const scope = scopes.get(scopeNameOf(event, single))
    if (scope === undefined) return
    scope.live = event._tag !== "Lost"
    if (event._tag === "Lost") return
    scope.heardAt = at
    if (event._tag === "Heard") return
    const version =
      event._tag === "NamespaceDeleted" || event._tag === "DeploymentDeleted"
        ? event.resourceVersion
        : event.object.resourceVersion
    const snapshot = loading.get(scope.name)
    const held = snapshot ?? (scope.stale === undefined ? scope.shown : undefined)
    // What another leader told of its list is in that list.
    if (held === undefined || held.generation.epoch !== id.epoch) return
    if (!isOlder(version, held.version)) held.version = version
    if (snapshot === undefined) outbox.push(event)
    else takeEvent(snapshot.objects, event)
  }

  const take = (id: LogId.LogId, at: number, entry: LogEntry): Effect.Effect<void> => {
    spokeAt = at
    switch (entry._tag) {
      case "Began":
        noneLive()
        return compare(entry.scopes)
      case "Told":
        for (const event of entry.events) tell(id, at, event)
        return Effect.void
      case "Listed": {
        const scope = scopes.get(entry.scope)
        if (scope === undefined) return Effect.void
        scope.heardAt = at
        scope.notBefore = 0
        markStale(scope, "listed")
        return Effect.void
      }
      case "Beat": {
        silenceMillis = entry.leaseMillis
        noneLive()
        for (const { agoMillis, scope: name } of entry.live) {
          const scope = scopes.get(name)
          if (scope === undefined) continue
          scope.live = true
          scope.heardAt = at - agoMillis
        }
        return Effect.void
      }
      case "Ended":
        noneLive()
        return Effect.void
    }
  }

  /** One connection, for as long as it lasts. */
  const session = Effect.gen(function* () {
    const redis: Redis["Service"] = yield* SharedRedis.connect(redisOptions(options))
    const commandLimit = redisOptions(options).commandTimeout
    const limited = SharedRedis.within(commandLimit)

    const look = Effect.gen(function* () {
      const [redisNow, lastId, leaseLeft, pairs] = yield* Effect.flatMap(
        Effect.map(redis.eval(Scripts.look)(keys), decodeLook),
        SharedRedis.readable
      )
      const last = LogId.parse(lastId)
      if (last._tag === "None") return yield* new RedisError({ cause: new Error("an answer that cannot be read") })
      clockAhead = redisNow - clock.currentTimeMillisUnsafe()
      const fields = fieldsOf(pairs)
      const watched = decodeWatched(fields.get(watchedField))
      if (Result.isSuccess(watched)) yield* compare(watched.success)
      return {
        now: redisNow,
        last: last.value,
        leader: leaseLeft > 0 ? last.value.epoch : undefined,
        leaseLeft,
        generations: fields
      } satisfies Look
    })

    /** What is said of a scope's hash in it; nothing where the hash is not there, or not what it was. */
    const metaOf = Effect.fnUntraced(function* (key: string) {
      const meta = decodeMeta(
        yield* limited(
          redis.send(
            "HMGET",
            key,
            metaFields.epoch,
            metaFields.number,
            metaFields.version,
            metaFields.heardAt,
            metaFields.live
          )
        )
      )
      if (Result.isFailure(meta)) return undefined
      const [epoch, number, version, heardAt, live] = meta.success
      return { generation: { epoch, number }, version, heardAt, live: live === "1" }
    })

    const scan = Effect.fnUntraced(function* (scope: Scope, key: string) {
      const objects = noObjects(scope)
      let cursor = "0"
      do {
        const [next, pairs] = yield* Effect.flatMap(
          Effect.map(limited(redis.send("HSCAN", key, cursor, "COUNT", String(fieldsAtOnce))), decodeScan),
          SharedRedis.readable
        )
        for (const [field, text] of fieldsOf(pairs)) {
          if (field.startsWith(metaPrefix)) continue
          const taken = takeField(objects, field, text)
          if (Result.isFailure(taken)) return Result.fail(`field ${field}: ${taken.failure}`)
        }
        cursor = next
      } while (cursor !== "0")
      return Result.succeed(objects)
    })

    /** Reads the hash of a scope. The log is then to be read to its end, before what was read is shown. */
    const load = Effect.fnUntraced(function* (
      scope: Read,
      reason: LoadReason,
      { generations, leader }: Look
    ): Effect.fn.Return<Result.Result<Loading, Unloaded>, RedisError> {
      const key = generations.get(scope.name)
      if (key === undefined) return Result.fail({ problem: "there is no list of it yet", expected: true })
      if (!keys.isGeneration(key)) return Result.fail({ problem: "its list is not where it can be", expected: false })
      const objects = yield* scan(scope, key)
      if (Result.isFailure(objects)) return Result.fail({ problem: objects.failure, expected: false })
      // Asked for last: a hash that went while it was read has lost this too.
      const meta = yield* metaOf(key)
      if (meta === undefined) return Result.fail({ problem: "its list is gone or was tampered with", expected: false })
      const { generation, heardAt, live, version } = meta
      if (!mayShow({ generation, version }, scope.shown, leader)) {
        return Result.fail({ problem: "its list is older than what is shown", expected: true })
      }
      scope.live = live && generation.epoch === leader
      scope.heardAt = heardAt
      return Result.succeed({ objects: objects.success, reason, generation, version })
    })

    const unloaded = Effect.fnUntraced(function* (scope: Read, { expected, problem }: Unloaded) {
      // What is to be expected ends with an entry of the log, which says so.
      const wait = expected ? longestMillis : Math.min(longestMillis, firstMillis * 2 ** Math.min(scope.failures, 16))
      scope.notBefore = clock.currentTimeMillisUnsafe() + (yield* Random.nextIntBetween(0.8 * wait, 1.2 * wait))
      yield* Effect.logWithLevel(expected || scope.failures > 0 ? "Debug" : "Warn")(
        "Cannot read what Redis holds of the cluster: what was known before stays, and ages"
      ).pipe(Effect.annotateLogs({ scope: scope.name, problem }))
      if (expected) return
      scope.failures++
      yield* observer.loadFailed
    })

    /** Takes entries in, one after the other; where they do not follow what was read before, all is read anew. */
    const takeAll = Effect.fnUntraced(function* (
      entries: ReadonlyArray<readonly [id: string, fields: ReadonlyArray<string>]>
    ) {
      let readAt = 0
      for (const [idText, pairs] of entries) {
        const id = LogId.parse(idText)
        const fields = fieldsOf(pairs)
        const at = decodeAt(fields.get("at"))
        const text = fields.get("entry") ?? ""
        const entry = decode(text.length > longestEntry ? undefined : text)
        if (id._tag === "None") return yield* new RedisError({ cause: new Error("an id that cannot be read") })
        if (position !== undefined && !LogId.follows(id.value, position)) {
          markAllStale("gap")
          noneLive()
        }
        position = id.value
        if (Result.isFailure(at) || Result.isFailure(entry)) {
          markAllStale("undecodable")
          yield* Effect.logWithLevel(saidUnreadable ? "Debug" : "Warn")(
            "An entry of the shared log cannot be read: reading all of it anew"
          ).pipe(Effect.annotateLogs({ id: idText }))
          saidUnreadable = true
          continue
        }
        readAt = at.success
        yield* take(id.value, readAt, entry.success)
      }
      if (readAt === 0) return
      // Old news, or clocks that have gone apart since they were compared.
      if (Math.abs(now() - readAt) > comparedMillis) yield* look
      yield* observer.read(entries.length, Math.max(0, now() - readAt))
    })

    const read = Effect.fnUntraced(function* (from: LogId.LogId, blockMillis: number | undefined) {
      const block = blockMillis === undefined ? [] : ["BLOCK", String(blockMillis)]
      const limit = Duration.sum(commandLimit, Duration.millis(blockMillis ?? 0))
      const reply = yield* SharedRedis.within(limit)(
        redis.send("XREAD", "COUNT", String(entriesAtOnce), ...block, "STREAMS", keys.events, LogId.format(from))
      )
      const streams = yield* SharedRedis.readable(decodeEntries(reply))
      return streams?.[0]?.[1] ?? []
    })

    /** Takes in what is there up to this entry. */
    const readTo = Effect.fnUntraced(function* (last: LogId.LogId) {
      while (true) {
        if (position === undefined || !LogId.isAfter(last, position)) return
        const entries = yield* read(position, undefined)
        if (entries.length === 0) return
        yield* takeAll(entries)
      }
    })

    const isDue = (scope: Read) =>
      scope.stale !== undefined &&
      !loading.has(scope.name) &&
      foreign === undefined &&
      clock.currentTimeMillisUnsafe() >= scope.notBefore

    /**
     * Reads the snapshots that are due, and the log to where it ended after that; again, for what became due by what it
     * told. Then they are whole, and are shown.
     */
    const loadDue = Effect.gen(function* () {
      while ([...scopes.values()].some(isDue)) {
        const before = yield* look
        if (position !== undefined && LogId.isAfter(position, before.last)) markAllStale("behind")
        if (position === undefined || LogId.isAfter(position, before.last)) position = before.last
        for (const scope of scopes.values()) {
          const { stale } = scope
          if (stale === undefined || !isDue(scope)) continue
          const loaded = yield* load(scope, stale, before)
          if (Result.isSuccess(loaded)) loading.set(scope.name, loaded.success)
          else yield* unloaded(scope, loaded.failure)
        }
        const { last } = yield* look
        yield* readTo(last)
      }
      for (const [name, { generation, objects, reason, version }] of loading) {
        const scope = scopes.get(name)
        if (scope === undefined) continue
        outbox.push(replacedBy(objects, scope, version))
        scope.shown = { generation, version }
        scope.stale = undefined
        scope.told = undefined
        if (scope.failures > 0) {
          yield* Effect.logInfo("Read again what Redis holds of the cluster").pipe(Effect.annotateLogs({ scope: name }))
        }
        scope.failures = 0
        saidUnreadable = false
        yield* observer.loaded(reason)
      }
      loading.clear()
    })

    /** Takes up the log where it was left, or finds out that it cannot be. */
    const resume = Effect.gen(function* () {
      const { generations, last, leader, leaseLeft, now: redisNow } = yield* look
      position ??= last
      if (position !== undefined && LogId.isAfter(position, last)) {
        position = last
        markAllStale("behind")
      }
      if (leader !== undefined) spokeAt = Math.max(spokeAt, redisNow - Math.max(0, silenceMillis - leaseLeft))
      for (const scope of scopes.values()) {
        if (scope.stale !== undefined) continue
        const key = generations.get(scope.name)
        const meta = key === undefined || !keys.isGeneration(key) ? undefined : yield* metaOf(key)
        if (meta === undefined) markStale(scope, "behind")
        else {
          scope.live = meta.live && meta.generation.epoch === leader
          scope.heardAt = Math.max(scope.heardAt ?? 0, meta.heardAt)
        }
      }
      return last
    })

    /** When the next snapshot is due, or the leader has been silent for too long. */
    const nextMoment = () => {
      const moments =
        foreign === undefined
          ? [...scopes.values()].flatMap(({ notBefore, stale }) => (stale === undefined ? [] : [notBefore]))
          : []
      if (!isSilent()) moments.push(spokeAt + silenceMillis - clockAhead)
      return Math.min(...moments) - clock.currentTimeMillisUnsafe()
    }

    const longestBlock = Duration.toMillis(beatEvery(options))

    // What lasted longer than a lease is no part of a series of failures.
    const began = clock.currentTimeMillisUnsafe()
    yield* Effect.addFinalizer(() =>
      clock.currentTimeMillisUnsafe() - began > silenceMillis ? backoff.reset : Effect.void
    )
    const end = yield* resume
    // What was missed comes before the word that it is current.
    yield* readTo(end)
    yield* observer.connected(true)
    while (true) {
      yield* loadDue
      yield* flush
      const from = position ?? (yield* look).last
      position = from
      const entries = yield* read(from, Math.ceil(Math.max(1, Math.min(longestBlock, nextMoment()))))
      // All that is asked of Redis has worked by now.
      if (trouble !== undefined) {
        trouble = undefined
        yield* Effect.logInfo("Reading the cluster's state from Redis again")
      }
      if (entries.length > 0) yield* takeAll(entries)
      // A log that was emptied, and begins anew before where this one reads, would never say so.
      else if (isSilent()) yield* resume
      // Clocks may go back.
      else yield* look
    }
  })

  const ended = Effect.fnUntraced(function* (error: RedisError) {
    loading.clear()
    noneLive()
    yield* flush
    yield* observer.connected(false)
    const reason = SharedRedis.reasonOf(error)
    yield* Effect.logWithLevel(trouble === reason ? "Debug" : "Warn")(
      "Cannot read the cluster's state from Redis: what is known stays, and ages"
    ).pipe(Effect.annotateLogs({ error: reason }))
    trouble = reason
    yield* backoff.wait()
  })

  return yield* Effect.forever(Effect.catch(Effect.scoped(session), ended))
})
