/**
 * List, watch, resume: the cluster's objects of one kind as a stream of events. client-go's reflector is the model.
 */
import { Clock, Duration, Effect, Queue, Random, Stream } from "effect"
import type { ClusterEvent } from "../model/ClusterEvent.ts"
import { isOlder, type ResourceVersion } from "../model/ResourceVersion.ts"
import * as Backoff from "../retry/Backoff.ts"
import { InformerObserver, type RelistReason, type WatchEnd } from "./InformerObserver.ts"
import { KubeApi } from "./KubeApi.ts"
import { type KubeError, KubeStatusError } from "./KubeErrors.ts"
import type { KubeListPage, ResourceKind, WatchEvent } from "./KubeWire.ts"

/** How an informer lists and watches. Every setting has the default that client-go or kube-apiserver suggests. */
export interface InformerOptions {
  /** Begin with a streaming list; a server without it is found out and given the paged list. Default: true. */
  readonly streamingList?: boolean | undefined
  /** Objects in a page of the paged list. Default: 500. */
  readonly pageSize?: number | undefined
  /** A watch lasts between these two, at random, so that watches do not all end at once. Default: 5 and 10 minutes. */
  readonly watchAtLeast?: Duration.Input | undefined
  readonly watchAtMost?: Duration.Input | undefined
  /** How long after its time a watch that the server did not end is torn down. Default: 30 seconds. */
  readonly watchGrace?: Duration.Input | undefined
  /**
   * Silence after which a watch is torn down, once the server has been seen to send periodic bookmarks. Default: 3
   * minutes, three times the period of kube-apiserver. Without bookmarks a watch may be as quiet as it likes.
   */
  readonly silenceLimit?: Duration.Input | undefined
  /** Silence within the initial events of a streaming list after which the paged list is used. Default: 30 seconds. */
  readonly listSilenceLimit?: Duration.Input | undefined
  /** The first and the longest wait after failures. Default: 0.8 and 30 seconds. */
  readonly backoffFirst?: Duration.Input | undefined
  readonly backoffLongest?: Duration.Input | undefined
}

/** A watch that ends sooner than this, and without news, ended too soon. */
const veryShortWatchMillis = 1000

/** After this many watches in a row that broke at one version, the version is no longer trusted. */
const doubtsUntilRelist = 2

/** The server's answers to a streaming list that it does not know or has switched off. */
const rejectsStreamingList = new Set([400, 404, 405, 406, 422, 501])

/** The server's answers to a version that it cannot make sense of. */
const rejectsVersion = new Set([400, 404, 422])

type Ended = { readonly end: WatchEnd; readonly error?: KubeError }

const isExpired = (error: KubeError): boolean => error._tag === "KubeStatusError" && error.isExpired

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
 * The events of all objects of `kind`: one *Replaced* event with the whole list, then what changes.
 *
 * The stream neither fails nor ends: whatever the server does, it tries again, with back-off, for as long as the
 * stream's scope is open. A new list is always one *Replaced* event, so that there is no moment at which objects are
 * missing. `Heard` comes when a watch is open and what is known is current, and with each bookmark; `Lost` comes
 * once when the watch ends, be it only for the moment until it is resumed. After a resumption an event may come again.
 */
export const make = <A extends { readonly resourceVersion: ResourceVersion }>(
  kind: ResourceKind<A>,
  options: InformerOptions = {}
): Stream.Stream<ClusterEvent, never, KubeApi> =>
  Stream.callback<ClusterEvent, never, KubeApi>((queue) => run(kind, options, (event) => Queue.offer(queue, event)), {
    bufferSize: 1024,
    strategy: "suspend"
  })

const run = Effect.fnUntraced(function* <A extends { readonly resourceVersion: ResourceVersion }>(
  kind: ResourceKind<A>,
  options: InformerOptions,
  passOn: (event: ClusterEvent) => Effect.Effect<unknown>
): Effect.fn.Return<never, never, KubeApi> {
  const api = yield* KubeApi
  const observer = yield* InformerObserver
  const { namespace, resource } = kind
  const scope = namespace === undefined ? {} : { namespace }
  const emit = (event: ClusterEvent) =>
    Effect.suspend(() => {
      observer.emitting(resource)
      return passOn(event)
    })
  const pageSize = options.pageSize ?? 500
  const watchAtLeast = Duration.toSeconds(options.watchAtLeast ?? "5 minutes")
  const watchAtMost = Duration.toSeconds(options.watchAtMost ?? "10 minutes")
  const graceMillis = Duration.toMillis(options.watchGrace ?? "30 seconds")
  const silenceMillis = Duration.toMillis(options.silenceLimit ?? "3 minutes")
  const listSilenceMillis = Duration.toMillis(options.listSilenceLimit ?? "30 seconds")
  const backoffLongest = Duration.fromInputUnsafe(options.backoffLongest ?? "30 seconds")
  const backoff = yield* Backoff.make(options.backoffFirst ?? "800 millis", backoffLongest)

  /** Where to resume; absent, a list is due, for `relistReason`. */
  let resumeFrom: ResourceVersion | undefined
  let relistReason: RelistReason = "start"
  /**
   * A paged list that is told once its watch has opened. A service that may list but not watch would otherwise call
   * itself ready with a view that never changes.
   */
  let taken: { readonly items: ReadonlyArray<A>; readonly resourceVersion: ResourceVersion } | undefined
  /** Why the last list was taken, and whether anything has gone well since: together they tell a loop of relists. */
  let lastRelist: RelistReason | undefined
  let progressed = false
  /** Watches that broke at `resumeFrom`. */
  let doubts = 0
  let streamingList = options.streamingList ?? true
  /** Whether the server has been seen to send periodic bookmarks. */
  let sendsBookmarks = false
  let live = false
  /** The trouble last warned of, so that it is said once and not at every attempt. */
  let trouble: string | undefined

  const progress = Effect.suspend(() => {
    progressed = true
    doubts = 0
    const over = trouble !== undefined
    trouble = undefined
    return over
      ? Effect.andThen(
          backoff.reset,
          Effect.logInfo("watching again").pipe(Effect.annotateLogs({ resource, ...scope }))
        )
      : backoff.reset
  })

  const warn = (error: KubeError) => {
    const text =
      error._tag === "KubeStatusError" && error.isForbidden
        ? `the cluster does not permit this service to ${error.operation}: grant it the verbs list and watch on ${resource}`
        : `cannot ${error.operation}: trying again`
    const key = `${error.operation} ${error._tag === "KubeStatusError" ? error.code : error._tag}`
    const level = key === trouble ? ("Debug" as const) : ("Warn" as const)
    trouble = key
    return Effect.logWithLevel(level)(text).pipe(
      Effect.annotateLogs({
        resource,
        ...scope,
        error: error.message,
        ...(error._tag === "KubeStatusError" ? { code: error.code, reason: error.reason } : {})
      }),
      Effect.andThen(error._tag === "KubeDecodeError" ? observer.decodeError(resource, error) : Effect.void)
    )
  }

  const relist = (reason: RelistReason) =>
    Effect.suspend(() => {
      resumeFrom = undefined
      taken = undefined
      relistReason = reason
      doubts = 0
      return observer.listing(resource, reason)
    })

  const heard = Effect.suspend(() => {
    live = true
    return emit({ _tag: "Heard", resource, ...scope })
  })

  const lost = Effect.suspend(() => {
    if (!live) {
      return Effect.void
    }
    live = false
    return emit({ _tag: "Lost", resource, ...scope })
  })

  const replace = Effect.fnUntraced(function* (items: ReadonlyArray<A>, resourceVersion: ResourceVersion) {
    yield* emit(kind.replaced(items, resourceVersion))
    live = true
    resumeFrom = resourceVersion
    const again = relistReason === lastRelist && !progressed
    lastRelist = relistReason
    if (!again) {
      yield* progress
    }
    progressed = false
    yield* observer.relisted(resource, relistReason)
  })

  const pages = Effect.fnUntraced(function* (limit: number | undefined) {
    let page: KubeListPage<A> = yield* api.listPage(kind, { limit, namespace })
    let items = page.items
    // All pages are of the version of the first; should a server think otherwise, the oldest one loses nothing.
    const { resourceVersion } = page
    while (page.continue !== undefined) {
      page = yield* api.listPage(kind, { limit, continue: page.continue, namespace })
      items = items.concat(page.items)
    }
    return { items, resourceVersion }
  })

  // A continue token expires when etcd is compacted under it (after 5 minutes): begin again, and if the cluster is so
  // large or so slow that this happens again, take the list whole.
  const pagedList = pages(pageSize).pipe(
    Effect.catchIf(isExpired, () => pages(pageSize)),
    Effect.catchIf(isExpired, () => pages(undefined)),
    Effect.map((list) => {
      taken = list
    })
  )

  /** One watch from its opening to its end. With a list due, it begins with a streaming list. */
  const watch = Effect.gen(function* () {
    const started = yield* Clock.currentTimeMillis
    const timeoutSeconds = yield* Random.nextIntBetween(watchAtLeast, watchAtMost)
    const deadline = started + timeoutSeconds * 1000 + graceMillis
    const from = resumeFrom ?? taken?.resourceVersion
    const listing = from === undefined
    let initial: Map<string, A> | undefined = listing ? new Map() : undefined
    let lastHeard = started
    let spoke = false
    let news = false

    // The event is passed on first: interrupted between the two, it comes again, and is not lost.
    const advance = Effect.fnUntraced(function* (event: ClusterEvent, resourceVersion: ResourceVersion) {
      yield* emit(event)
      live = true
      if (resumeFrom !== resourceVersion && (resumeFrom === undefined || !isOlder(resourceVersion, resumeFrom))) {
        resumeFrom = resourceVersion
        news = true
        yield* progress
      }
    })

    const take = Effect.fnUntraced(function* (event: WatchEvent<A>) {
      lastHeard = yield* Clock.currentTimeMillis
      spoke ||= event._tag !== "Opened"
      switch (event._tag) {
        case "Opened":
          yield* observer.watchStarted(resource, namespace)
          if (taken !== undefined) {
            yield* replace(taken.items, taken.resourceVersion)
            taken = undefined
          }
          // While a list streams in, what is known is still as old as it was.
          return initial === undefined ? yield* heard : undefined
        case "Applied":
          return initial === undefined
            ? yield* advance(kind.applied(event.object), event.object.resourceVersion)
            : initial.set(kind.key(event.object), event.object)
        case "Deleted":
          return initial === undefined
            ? yield* advance(kind.deleted(event.object), event.object.resourceVersion)
            : initial.delete(kind.key(event.object))
        case "Bookmark":
          yield* observer.bookmark(resource, event.resourceVersion)
          if (initial === undefined) {
            sendsBookmarks = true
            return yield* advance({ _tag: "Heard", resource, ...scope }, event.resourceVersion)
          }
          if (event.initialEventsEnd) {
            const items = [...initial.values()]
            initial = undefined
            news = true
            yield* replace(items, event.resourceVersion)
            return yield* heard
          }
      }
      return undefined
    })

    const watchdog = Effect.gen(function* () {
      while (true) {
        const now = yield* Clock.currentTimeMillis
        if (now >= deadline) {
          return { end: "deadline" } satisfies Ended
        }
        const quiet = now - lastHeard
        if (initial !== undefined && quiet >= listSilenceMillis) {
          return { end: "stalled" } satisfies Ended
        }
        if (sendsBookmarks && quiet >= silenceMillis) {
          return { end: "silent" } satisfies Ended
        }
        // The shorter of the two: the list may have ended by the time this wakes.
        const silence = Math.min(silenceMillis, listSilenceMillis)
        yield* Effect.sleep(Math.min(deadline - now, quiet >= silence ? silence : silence - quiet))
      }
    })

    const watching = Stream.runForEach(
      api.watch(kind, { resourceVersion: from, sendInitialEvents: listing, timeoutSeconds, namespace }),
      take
    ).pipe(
      Effect.as<Ended>({ end: "closed" }),
      Effect.catch((error) => Effect.succeed<Ended>({ end: endOf(error), error }))
    )

    const ended: Ended = yield* Effect.raceFirst(watching, watchdog)
    const lived = (yield* Clock.currentTimeMillis) - started
    return { ...ended, lived, news, spoke, listed: initial === undefined, listing }
  })

  yield* observer.listing(resource, relistReason)
  while (true) {
    if (resumeFrom === undefined && taken === undefined && !streamingList) {
      const failed = yield* Effect.matchEffect(pagedList, {
        onSuccess: () => Effect.succeed(false),
        onFailure: (error) => Effect.as(Effect.andThen(warn(error), backoff.wait(retryAfterOf(error))), true)
      })
      if (failed) {
        continue
      }
    }

    const { end, error, listed, listing, lived, news, spoke } = yield* watch
    // A server that answers so to a streaming list has none, or allows none (before Kubernetes 1.32 it is off by
    // default, and the parameters are invalid); the paged list needs nothing special.
    const unsupported =
      listing &&
      !listed &&
      error?._tag === "KubeStatusError" &&
      !error.inStream &&
      !error.isExpired &&
      rejectsStreamingList.has(error.code)
    yield* observer.watchEnded(resource, unsupported ? "unsupported" : end, namespace)
    yield* lost

    if (unsupported || end === "stalled") {
      streamingList = false
      yield* Effect.logInfo("the cluster gives no streaming list: using the paged list").pipe(
        Effect.annotateLogs({ resource, ...scope, ...(error === undefined ? {} : { error: error.message }) })
      )
      continue
    }

    if (end === "silent" && !spoke) {
      // A watch cache takes a watch from a version that it has not reached, and says nothing until it has: after the
      // store was restored from a backup that may be never.
      yield* relist("silent")
      continue
    }

    if (error === undefined) {
      if (!listed || (lived < veryShortWatchMillis && !news)) {
        // A server that ends every watch at once (a proxy that does not stream, an API server on its way down) would
        // be asked in a hot loop.
        yield* backoff.wait()
      } else {
        yield* progress
      }
      continue
    }

    // A watch that lived longer than the longest wait is no part of a series of failures.
    if (lived > Duration.toMillis(backoffLongest) && listed) {
      yield* progress
    }

    if (error._tag === "KubeStatusError" && (resumeFrom !== undefined || taken !== undefined)) {
      if (error.isExpired) {
        // The version to resume from was compacted away, or fell out of the watch cache. Expected after an outage, so
        // at once; but a server that lets every new list expire is not asked for lists in a loop.
        const again = taken !== undefined || (lastRelist === "expired" && !progressed)
        yield* relist("expired")
        yield* again ? backoff.wait(error.retryAfter) : Effect.void
        continue
      }
      if (error.isVersionTooLarge) {
        // The store was restored from a backup, or this replica of the API server lags behind.
        yield* relist("version-too-large")
      } else if (!error.inStream && rejectsVersion.has(error.code)) {
        yield* relist("refused")
      }
    }

    yield* warn(error)
    // An ERROR event (etcd lost its history, the watch cache restarts) or a line that cannot be read may be a fault of
    // the moment, or be what the server will say to every watch from this version.
    if (
      resumeFrom !== undefined &&
      (error._tag === "KubeDecodeError" || (error._tag === "KubeStatusError" && error.inStream)) &&
      ++doubts >= doubtsUntilRelist
    ) {
      yield* relist("broken")
    }
    yield* backoff.wait(retryAfterOf(error))
  }
})

const retryAfterOf = (error: KubeError): Duration.Duration | undefined =>
  error instanceof KubeStatusError ? error.retryAfter : undefined
