/**
 * The one that lists and watches the cluster, and tells the others through Redis. Every candidate stands by to be it.
 *
 * Whatever goes wrong while it leads, or may have gone wrong, has one answer: it steps down, and whoever leads next lists
 * the cluster anew.
 */
import { Cause, Clock, Duration, Effect, Option, Random, Schema, Semaphore, Stream } from "effect"
import { type Redis, RedisError } from "effect/persistence/Redis"
import { randomUUID } from "node:crypto"
import * as Backoff from "../retry/Backoff.ts"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import { isOlder, type ResourceVersion } from "../model/ResourceVersion.ts"
import { keysOf, metaFields, watchedField } from "./Keys.ts"
import { encode, type LogEntry, type ToldEvent } from "./LogEntry.ts"
import * as LogId from "./LogId.ts"
import { type Scope, scopeNameOf, scopesOf } from "./WatchScope.ts"
import * as Scripts from "./Scripts.ts"
import { SharedCacheObserver } from "./SharedCacheObserver.ts"
import { beatEvery, patienceOf, redisOptions, type SharedCacheOptions } from "./SharedCacheOptions.ts"
import { appliedOf, changeOf } from "./SharedObject.ts"
import * as SharedRedis from "./SharedRedis.ts"

/** What a leader relies on is no longer so: a write of it was refused, or it does not see the cluster. */
class Deposed extends Schema.TaggedError<Deposed>()("Deposed", {
  because: Schema.Literals(["lease", "log", "lists", "watch"])
}) {}

const reasons = {
  lease: "the lease is another's, or over",
  log: "the log does not end with what this instance wrote last",
  lists: "a list that this instance wrote is gone",
  watch: "it cannot watch the cluster; others may try"
} as const satisfies Record<Deposed["because"], string>

/** The longest that a leader's patience with the cluster becomes. */
const longestPatienceMillis = 3_600_000

/** The longest wait before the lease is asked for again. */
const askEvery = Duration.seconds(1)
/** How long one that gave way lets the others ask for the lease. */
const othersTurn = Duration.times(askEvery, 5)
/** Events in one entry, and objects in one command. */
const eventsAtOnce = 64
const objectsAtOnce = 500
/** How long a list that took another's place is kept for those who are reading it, and one that is not finished. */
const keptMillis = 60_000

type ListEvent = Extract<ClusterEvent, { readonly _tag: "NamespacesReplaced" | "DeploymentsReplaced" }>

const isList = (event: ClusterEvent): event is ListEvent =>
  event._tag === "NamespacesReplaced" || event._tag === "DeploymentsReplaced"

/** What a leader knows of a scope. */
interface Led extends Scope {
  /** The hash of the last list, and the version that it is of by now. */
  list: { readonly generation: string; version: ResourceVersion } | undefined
  /** The hash that is in use: this leader's, or one of a leader's before. */
  inUse: string | undefined
  live: boolean
  /** When the cluster was last heard on this watch, in milliseconds of a clock that never goes back. */
  heardAt: number | undefined
}

/** Where a leader stands in the log, and the token of its lease. */
interface Place {
  readonly token: string
  last: LogId.LogId
}

const decodeEpoch = Schema.decodeUnknownResult(
  Schema.NullOr(Schema.String.check(Schema.isPattern(/^[1-9][0-9]{0,14}$/)))
)
const decodeOutcome = Schema.decodeUnknownResult(Schema.Literals(["done", "lease", "log", "lists"]))
const decodePairs = Schema.decodeUnknownResult(Schema.Array(Schema.String))

/** Stands by to lead, and leads when it can, with the events of `source`, which is run anew each time. */
export const stand = <R>(options: SharedCacheOptions, source: Stream.Stream<ClusterEvent, never, R>) =>
  Effect.gen(function* () {
    const observer = yield* SharedCacheObserver
    const keys = keysOf(options.keyPrefix)
    const scopes = scopesOf(options.namespaces)
    const leaseMillis = Duration.toMillis(options.lease)
    const maxEntries = options.maxEntries ?? 4096
    const backoff = yield* Backoff.make(options.backoffFirst ?? "200 millis", options.backoffLongest ?? "10 seconds")
    const askMillis = Math.min(Duration.toMillis(askEvery), Duration.toMillis(beatEvery(options)))
    const firstPatience = Duration.toMillis(patienceOf(options))
    // A list may take longer than the first patience: were it not to grow, candidates would begin it in turns for ever.
    let patience = firstPatience
    /** The token of the time before: a lease under it is this instance's, should giving it back have failed. */
    let before = ""

    const acquire = Effect.fnUntraced(function* (redis: Redis["Service"], token: string) {
      while (true) {
        const epoch = yield* redis
          .eval(Scripts.acquire)(keys, {
            token,
            before,
            leaseMillis,
            maxEntries,
            entry: encode({ _tag: "Began", scopes: scopes.map(({ name }) => name) }),
            watched: JSON.stringify(scopes.map(({ name }) => name))
          })
          .pipe(Effect.map(decodeEpoch), Effect.flatMap(SharedRedis.readable))
        if (epoch !== null) return Number(epoch)
        yield* Effect.sleep(yield* Random.nextIntBetween(0.5 * askMillis, askMillis))
      }
    })

    const nextEntry = ({ last, token }: Place, entry: LogEntry): Scripts.NextEntry => ({
      token,
      last: LogId.format(last),
      id: LogId.format({ epoch: last.epoch, seq: last.seq + 1 }),
      entry: encode(entry),
      maxEntries
    })

    const lead = Effect.fnUntraced(function* (redis: Redis["Service"], place: Place) {
      const { epoch } = place.last
      const clock = yield* Clock.Clock
      const writing = yield* Semaphore.make(1)
      const led = new Map<string, Led>(
        scopes.map((scope) => [
          scope.name,
          { ...scope, list: undefined, inUse: undefined, live: false, heardAt: undefined }
        ])
      )
      const next = (entry: LogEntry) => nextEntry(place, entry)
      const monotonic = () => Number(clock.currentTimeNanosUnsafe()) / 1e6
      let lists = 0

      /** One write after the other: each names the one before it. */
      const write = (step: () => Effect.Effect<unknown, RedisError>) =>
        writing.withPermit(
          Effect.suspend(step).pipe(
            Effect.map(decodeOutcome),
            Effect.flatMap(SharedRedis.readable),
            Effect.flatMap((outcome) => {
              if (outcome !== "done") return Effect.fail(new Deposed({ because: outcome }))
              place.last = { epoch, seq: place.last.seq + 1 }
              return Effect.void
            })
          )
        )

      const note = (scope: Led, event: ClusterEvent) => {
        if (event._tag === "Lost") scope.live = false
        else {
          scope.heardAt = monotonic()
          if (!isList(event)) scope.live = true
        }
      }

      const changesOf = (events: ReadonlyArray<ClusterEvent>): ReadonlyArray<Scripts.ScopeChange> => {
        const touched = new Map<Led, Map<string, string | undefined>>()
        for (const event of events) {
          const scope = led.get(scopeNameOf(event, options.namespaces !== undefined))
          if (scope === undefined) continue
          note(scope, event)
          const changes = touched.get(scope) ?? new Map<string, string | undefined>()
          touched.set(scope, changes)
          const change = changeOf(event)
          if (change === undefined || scope.list === undefined) continue
          changes.set(change.field, change.text)
          if (!isOlder(change.resourceVersion, scope.list.version)) scope.list.version = change.resourceVersion
        }
        return [...touched].flatMap(([scope, changes]) => changeTo(scope, changes))
      }

      const changeTo = (
        { heardAt, list, live, name }: Led,
        changes: ReadonlyMap<string, string | undefined>
      ): ReadonlyArray<Scripts.ScopeChange> => {
        if (list === undefined) return []
        const set = new Map<string, string>([
          [metaFields.version, list.version],
          [metaFields.live, live ? "1" : "0"]
        ])
        const remove: Array<string> = []
        for (const [field, text] of changes) {
          if (text === undefined) remove.push(field)
          else set.set(field, text)
        }
        const agoMillis = heardAt === undefined ? undefined : monotonic() - heardAt
        return [{ scope: name, generation: list.generation, agoMillis, set, remove }]
      }

      const tell = (events: ReadonlyArray<ToldEvent>) =>
        write(() => {
          const changes = changesOf(events)
          return redis.eval(Scripts.append)(keys, next({ _tag: "Told", events }), changes, undefined)
        })

      const list = Effect.fnUntraced(function* (event: ListEvent) {
        const scope = led.get(scopeNameOf(event, options.namespaces !== undefined))
        if (scope === undefined) return
        const { inUse, name } = scope
        const number = ++lists
        const generation = keys.generation(name, epoch, number)
        const objects = appliedOf(event)
        note(scope, event)
        const heardAt = monotonic()
        for (let at = 0; at < objects.length; at += objectsAtOnce) {
          const changes = objects.slice(at, at + objectsAtOnce).flatMap((one) => changeOf(one) ?? [])
          yield* redis.eval(Scripts.fill)(
            generation,
            keptMillis,
            changes.map(({ field, text }) => [field, text ?? ""] as const)
          )
        }
        yield* write(() =>
          redis.eval(Scripts.commit)(keys, next({ _tag: "Listed", scope: name }), {
            scope: name,
            generation,
            before: inUse,
            count: objects.length,
            keptMillis,
            agoMillis: Math.round(monotonic() - heardAt),
            meta: [
              [metaFields.epoch, String(epoch)],
              [metaFields.number, String(number)],
              [metaFields.version, event.resourceVersion],
              [metaFields.live, scope.live ? "1" : "0"]
            ]
          })
        )
        scope.list = { generation, version: event.resourceVersion }
        scope.inUse = generation
      })

      const take = Effect.fnUntraced(function* (events: ReadonlyArray<ClusterEvent>) {
        let told: Array<ToldEvent> = []
        for (const event of events) {
          if (!isList(event)) {
            told.push(event)
            if (told.length < eventsAtOnce) continue
          }
          if (told.length > 0) yield* tell(told)
          told = []
          if (isList(event)) yield* list(event)
        }
        if (told.length > 0) yield* tell(told)
      })

      const beat = write(() => {
        const now = monotonic()
        const live = [...led.values()].flatMap(({ heardAt, live, name }) =>
          live && heardAt !== undefined ? [{ scope: name, agoMillis: Math.max(0, now - heardAt) }] : []
        )
        return redis.eval(Scripts.append)(
          keys,
          next({ _tag: "Beat", leaseMillis, live }),
          [...led.values()].flatMap((scope) => changeTo(scope, new Map())),
          leaseMillis
        )
      })

      /** Ends once the cluster has not been watched, or not all of it, for as long as there is patience with that. */
      const untilBlind = Effect.gen(function* () {
        let sawAllAt = yield* Clock.currentTimeMillis
        while (true) {
          yield* Effect.sleep(beatEvery(options))
          const now = yield* Clock.currentTimeMillis
          if ([...led.values()].every(({ list, live }) => live && list !== undefined)) {
            sawAllAt = now
            patience = firstPatience
          } else if (now - sawAllAt >= patience) {
            patience = Math.min(2 * patience, longestPatienceMillis)
            return yield* new Deposed({ because: "watch" })
          }
        }
      })

      const inUse = yield* Effect.flatMap(
        Effect.map(SharedRedis.within(beatEvery(options))(redis.send("HGETALL", keys.scopes)), decodePairs),
        SharedRedis.readable
      )
      for (let at = 0; at + 1 < inUse.length; at += 2) {
        const [name = "", generation = ""] = inUse.slice(at, at + 2)
        const scope = led.get(name)
        // What another program may have put there is no key of this one's.
        if (name === watchedField || !keys.isGeneration(generation)) continue
        if (scope !== undefined) scope.inUse = generation
        else {
          yield* redis.eval(Scripts.retire)(keys, { token: place.token, scope: name, generation, keptMillis })
        }
      }

      return yield* Effect.raceAllFirst([
        Effect.andThen(
          Stream.runForEachArray(source, take),
          Effect.die(new Error("The stream of cluster events ended."))
        ),
        Effect.forever(Effect.andThen(Effect.sleep(beatEvery(options)), beat)),
        untilBlind
      ])
    })

    const reasonOf = (error: Deposed | RedisError) =>
      error._tag === "Deposed" ? reasons[error.because] : SharedRedis.reasonOf(error)

    const lost = (cause: Cause.Cause<Deposed | RedisError>) => {
      const error = Option.getOrUndefined(Cause.findErrorOption(cause))
      return Effect.logWithLevel(error === undefined ? "Info" : "Warn")(
        "This instance no longer follows the cluster for all"
      ).pipe(Effect.annotateLogs(error === undefined ? {} : { reason: reasonOf(error) }))
    }

    /** One connection, and the time as leader that it may come to. */
    const term = Effect.gen(function* () {
      const redis = yield* SharedRedis.connect(redisOptions(options))
      const place: Place = { token: randomUUID(), last: LogId.start }
      // Before the lease is asked for: it is given back whatever comes, be the answer never heard.
      yield* Effect.addFinalizer(() =>
        Effect.ignore(Effect.suspend(() => redis.eval(Scripts.release)(keys, nextEntry(place, { _tag: "Ended" }))))
      )
      const epoch = yield* acquire(redis, place.token)
      place.last = { epoch, seq: 0 }
      before = place.token
      yield* Effect.logInfo("This instance now follows the cluster for all").pipe(Effect.annotateLogs({ epoch }))
      yield* Effect.acquireRelease(observer.leading(true), () => observer.leading(false))
      return yield* Effect.onError(lead(redis, place), lost)
    })

    return yield* Effect.forever(
      Effect.gen(function* () {
        const began = yield* Clock.currentTimeMillis
        yield* Effect.catch(Effect.scoped(term), (error) =>
          Effect.logDebug("Cannot stand by to follow the cluster: trying again").pipe(
            Effect.annotateLogs({ reason: reasonOf(error) }),
            Effect.andThen(
              error._tag === "Deposed" && error.because === "watch"
                ? Effect.sleep(Duration.min(options.lease, othersTurn))
                : Effect.void
            )
          )
        )
        // What lasted longer than a lease is no part of a series of failures.
        if ((yield* Clock.currentTimeMillis) - began > leaseMillis) yield* backoff.reset
        yield* backoff.wait()
      })
    )
  })
