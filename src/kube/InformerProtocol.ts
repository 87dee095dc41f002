/**
 * The informer as a state machine, after client-go's reflector. It does no I/O: `step` maps a state and an input to the
 * next state and actions, and `Informer` performs the actions.
 *
 * Four actions are operations: `ListPage`, `OpenWatch`, `Wait` and `ReadVersion`. Exactly one operation is under way at
 * any time. An input that ends it yields the next operation as its last action. So may any other input: the new
 * operation replaces the old one.
 *
 * One file: the transitions are read together, and each names the others.
 */
import { type Duration, pipe } from "effect"
import { isOlder, type ResourceVersion } from "../model/ResourceVersion.ts"
import type { RelistReason, WatchEnd } from "./InformerObserver.ts"
import type { Action, Input, Phase, State, Step, Watch, WatchEnded } from "./InformerState.ts"
import { failureRecord, KubeDecodeError, type KubeError, troubleAfter } from "./KubeErrors.ts"
import type { KubeListPage, UndecodableObject, WatchEvent } from "./wire/KubeCodec.ts"

/** A watch that ends sooner than this, and without news, counts as a failure. */
const veryShortWatchMillis = 1000

/** After this many consecutive watches that broke at the same version, the informer lists again. */
const brokenWatchesUntilRelist = 2

/** Attempts at a paged list before it is read in one response. */
const pagedAttempts = 2

/** After this many consecutive streaming lists that broke off, the paged list is used. */
const brokenListsUntilPaged = 2

/** Status codes of a server that does not support streaming lists or has them disabled. */
const rejectsStreamingList = new Set([400, 404, 405, 406, 422, 501])

/** Status codes of a server that cannot interpret the resource version. */
const rejectsVersion = new Set([400, 404, 422])

/**
 * One transition. An input that the phase does not expect, such as one of an earlier operation, changes nothing.
 */
export const step = <A extends { readonly resourceVersion: ResourceVersion }>(
  state: State,
  input: Input<A>
): Step<A> => {
  const { phase } = state
  switch (phase._tag) {
    case "Idle":
      return input._tag === "Started" ? pipe(listDue(state), then(proceed)) : unchanged(state)
    case "Waiting":
      return input._tag === "Waited" ? resume(state) : unchanged(state)
    case "ReadingVersion":
      if (input._tag === "VersionRead") return versionRead(state, input.resourceVersion)
      return input._tag === "VersionFailed" ? versionFailed(state, input.error) : unchanged(state)
    case "Listing":
      if (input._tag === "PageListed") return pageListed(state, phase, input.page)
      return input._tag === "ListFailed" ? listFailed(state, phase, input.error) : unchanged(state)
    case "Opening":
      if (input._tag === "WatchEnded") return watchEnded(state, phase, input)
      return input._tag === "Watched" && input.event._tag === "Opened"
        ? opened(state, phase.streaming, input.at)
        : unchanged(state)
    case "StreamingList":
      if (input._tag === "WatchEnded") return watchEnded(state, phase, input)
      return input._tag === "Watched" ? collected(state, phase, input.event, input.at) : unchanged(state)
    case "Watching":
      if (input._tag === "WatchEnded") return watchEnded(state, phase, input)
      return input._tag === "Watched" ? watched(state, phase, input.event, input.at) : unchanged(state)
  }
}

/**
 * The end that the informer must force on the watch, or the milliseconds after which to ask again. `at` and `deadline`
 * are in milliseconds since the watch was requested.
 */
export const overdue = (
  { phase, sendsBookmarks, settings }: State,
  at: number,
  deadline: number
): "deadline" | "stalled" | "silent" | number => {
  if (at >= deadline) return "deadline"
  const { listSilenceMillis, listTimeoutMillis, silenceMillis } = settings
  const heardAt = "heardAt" in phase ? phase.heardAt : 0
  const listLimit = isStreaming(phase) ? Math.min(heardAt + listSilenceMillis, listTimeoutMillis) : Infinity
  if (at >= listLimit) return "stalled"
  const limit = sendsBookmarks ? heardAt + silenceMillis : Infinity
  if (at >= limit) return "silent"
  // The next event may change which limit applies, and none applies sooner than this.
  return Math.max(1, Math.min(deadline - at, listLimit - at, limit - at, listSilenceMillis, silenceMillis))
}

type StreamingList = Extract<Phase, { readonly _tag: "StreamingList" }>
type Watching = Extract<Phase, { readonly _tag: "Watching" }>

const unchanged = (state: State): Step<never> => [state, []]

const then =
  <A>(next: (state: State) => Step<A>) =>
  ([state, actions]: Step<A>): Step<A> => {
    const [after, more] = next(state)
    return [after, more.length === 0 ? actions : actions.concat(more)]
  }

const isStreaming = (phase: Phase): boolean =>
  phase._tag === "StreamingList" || (phase._tag === "Opening" && phase.streaming)

const isExpired = (error: KubeError): boolean => error._tag === "KubeStatusError" && error.isExpired

const retryAfterOf = (error: KubeError): Duration.Duration | undefined =>
  error._tag === "KubeStatusError" ? error.retryAfter : undefined

/** Begins the next operation: a watch if there is a version to resume from, otherwise a list. */
const proceed = (state: State): Step<never> => {
  const { position, streamingList } = state
  if (position._tag === "ListDue" && !streamingList) return firstPage(state, 0)
  const from = position._tag === "ListDue" ? undefined : position.resourceVersion
  return [{ ...state, phase: { _tag: "Opening", streaming: from === undefined } }, [{ _tag: "OpenWatch", from }]]
}

/**
 * Continues after a failure or a wait. The store of the server may have been restored from a backup in the meantime. Its
 * versions then went back, and a watch from ours would miss all changes until they have passed it. So the current version
 * is read first.
 */
const resume = (state: State): Step<never> => {
  if (state.position._tag === "ListDue") return proceed(state)
  return isRelistDue(state)
    ? pipe(relist("periodic")(state), then(proceed))
    : [{ ...state, phase: { _tag: "ReadingVersion" } }, [{ _tag: "ReadVersion" }]]
}

/** A periodic list finds changes that all other checks miss. It is due only between two watches. */
const isRelistDue = ({ position, settings, watchedMillis }: State): boolean =>
  position._tag === "Emitted" && watchedMillis >= settings.relistMillis

const versionRead = (state: State, current: ResourceVersion): Step<never> => {
  const { position } = state
  if (position._tag === "ListDue" || !isOlder(current, position.resourceVersion)) return proceed(state)
  const log: Action<never> = {
    _tag: "Log",
    level: "Warn",
    message: "The resource version of the cluster is older than before, as after a restore: listing again"
  }
  return pipe([state, [log]], then(relist("restored")), then(proceed))
}

const versionFailed = (state: State, error: KubeError): Step<never> => {
  if (isExpired(error)) return expired(state, retryAfterOf(error))
  // A service that may watch but not list goes on without the check.
  const isDenied = error._tag === "KubeStatusError" && error.isForbidden
  return pipe(warn(state, error), then(isDenied ? proceed : wait(retryAfterOf(error))))
}

const wait =
  (atLeast?: Duration.Duration) =>
  (state: State): Step<never> => [
    { ...state, phase: { _tag: "Waiting" }, backedOff: true },
    [{ _tag: "Wait", atLeast }]
  ]

const limitOf = (state: State, attempt: number) => (attempt < pagedAttempts ? state.settings.pageSize : undefined)

const firstPage = (state: State, attempt: number): Step<never> => [
  { ...state, phase: { _tag: "Listing", attempt, resourceVersion: undefined } },
  [{ _tag: "ListPage", limit: limitOf(state, attempt), continue: undefined }]
]

const pageListed = <A>(
  state: State,
  { attempt, resourceVersion: first }: Extract<Phase, { readonly _tag: "Listing" }>,
  page: KubeListPage<A>
): Step<A> => {
  // If the versions of the pages differ, resuming from that of the first misses no change.
  const resourceVersion = first ?? page.resourceVersion
  const collect: ReadonlyArray<Action<A>> = [
    { _tag: "CollectPage", objects: page.items },
    ...page.undecodable.flatMap(skippedFromList)
  ]
  if (page.continue === undefined) {
    return pipe([{ ...state, position: { _tag: "Listed", resourceVersion } }, collect], then<A>(proceed))
  }
  return [
    { ...state, phase: { _tag: "Listing", attempt, resourceVersion } },
    [...collect, { _tag: "ListPage", limit: limitOf(state, attempt), continue: page.continue }]
  ]
}

// Without a key, the object whose last known state to keep is unknown.
const skippedFromList = ({ key, message }: UndecodableObject): ReadonlyArray<Action<never>> => {
  const skip: Action<never> = { _tag: "Skip", key, message }
  return key === undefined ? [skip] : [{ _tag: "CollectUndecodable", key }, skip]
}

// A continue token expires when etcd is compacted (after 5 minutes). If that happens twice, the cluster is too large or
// too slow for pages, and the list is read in one response.
const listFailed = (
  state: State,
  { attempt }: Extract<Phase, { readonly _tag: "Listing" }>,
  error: KubeError
): Step<never> =>
  isExpired(error) && attempt < pagedAttempts
    ? firstPage(state, attempt + 1)
    : pipe(warn(state, error), then(wait(retryAfterOf(error))))

const opened = (state: State, streaming: boolean, at: number): Step<never> => {
  const { position } = state
  const phase: Phase = streaming
    ? { _tag: "StreamingList", heardAt: at, spoke: false }
    : { _tag: "Watching", heardAt: at, spoke: false, news: false }
  return pipe(
    [{ ...state, phase }, [{ _tag: "ObserveWatchStarted" }]],
    then(position._tag === "Listed" ? replaced(position.resourceVersion) : unchanged),
    // During a streaming list the consumer still has the old state.
    then(streaming ? unchanged : heard)
  )
}

/** An event of a streaming list. */
const collected = <A>(state: State, phase: StreamingList, event: WatchEvent<A>, at: number): Step<A> => {
  const { heardAt, spoke } = phase
  const next: State =
    spoke && heardAt === at ? state : { ...state, phase: { _tag: "StreamingList", heardAt: at, spoke: true } }
  switch (event._tag) {
    case "Applied":
      return [next, [{ _tag: "Collect", object: event.object }]]
    case "Deleted":
      return [next, [{ _tag: "Forget", object: event.object }]]
    case "Undecodable":
      return [next, skippedFromList(event)]
    case "Bookmark": {
      const { initialEventsEnd, resourceVersion } = event
      // kube-apiserver sends no bookmark before the one that ends the list. So this server ignores `sendInitialEvents`.
      if (!initialEventsEnd) return watchEnded(state, phase, { _tag: "WatchEnded", end: "unsupported", at })
      return pipe(
        [
          { ...state, phase: { _tag: "Watching", heardAt: at, spoke: true, news: true } },
          [{ _tag: "ObserveBookmark", resourceVersion }]
        ],
        then(replaced(resourceVersion)),
        then(heard)
      )
    }
    case "Opened":
      return unchanged(state)
  }
}

/** An event of an open watch whose list was emitted. */
const watched = <A extends { readonly resourceVersion: ResourceVersion }>(
  state: State,
  phase: Watching,
  event: WatchEvent<A>,
  at: number
): Step<A> => {
  const { news } = phase
  switch (event._tag) {
    case "Applied":
      return advanced(state, news, event.object.resourceVersion, at, [{ _tag: "EmitApplied", object: event.object }])
    case "Deleted":
      return advanced(state, news, event.object.resourceVersion, at, [{ _tag: "EmitDeleted", object: event.object }])
    case "Bookmark": {
      const { resourceVersion } = event
      return advanced({ ...state, sendsBookmarks: true }, news, resourceVersion, at, [
        { _tag: "ObserveBookmark", resourceVersion },
        { _tag: "EmitHeard" }
      ])
    }
    case "Undecodable":
      return undecodable(state, phase, event, at)
    case "Opened":
      return unchanged(state)
  }
}

/** Skips the object. Without its key, the state of any object may be outdated, so the watch ends. */
const undecodable = (state: State, phase: Watching, { key, message }: UndecodableObject, at: number): Step<never> => {
  if (key !== undefined) {
    return [{ ...state, phase: { ...phase, heardAt: at, spoke: true } }, [{ _tag: "Skip", key, message }]]
  }
  const error = new KubeDecodeError({ operation: `watch ${state.settings.resource}`, message })
  return watchEnded(state, phase, { _tag: "WatchEnded", end: "undecodable", error, at })
}

/** Moves the position to the version of an event, but never back: after a resumption the server may repeat events. */
const advanced = <A>(
  state: State,
  news: boolean,
  resourceVersion: ResourceVersion,
  at: number,
  actions: ReadonlyArray<Action<A>>
): Step<A> => {
  const { position } = state
  const newer =
    position._tag === "ListDue" ||
    (position.resourceVersion !== resourceVersion && !isOlder(resourceVersion, position.resourceVersion))
  const next: State = {
    ...state,
    live: true,
    phase: { _tag: "Watching", heardAt: at, spoke: true, news: news || newer },
    position: newer ? { _tag: "Emitted", resourceVersion } : position
  }
  return newer ? then<A>(progress)([next, actions]) : [next, actions]
}

/**
 * Emits the collected list. It counts as progress unless the previous list had the same reason and no progress followed
 * it.
 */
const replaced =
  (resourceVersion: ResourceVersion) =>
  (state: State): Step<never> => {
    const { lastRelist, progressed, relistReason: reason } = state
    return pipe(
      [
        {
          ...state,
          live: true,
          position: { _tag: "Emitted", resourceVersion },
          lastRelist: reason,
          brokenLists: 0,
          watchedMillis: 0
        },
        [{ _tag: "EmitReplaced", resourceVersion }]
      ],
      then(reason === lastRelist && !progressed ? unchanged : progress),
      then((state) => [{ ...state, progressed: false }, [{ _tag: "ObserveRelisted", reason }]])
    )
  }

const heard = (state: State): Step<never> => [{ ...state, live: true }, [{ _tag: "EmitHeard" }]]

const lost = (state: State): Step<never> =>
  state.live ? [{ ...state, live: false }, [{ _tag: "EmitLost" }]] : unchanged(state)

/** Ends a series of failures after a success. */
const progress = (state: State): Step<never> => {
  const { backedOff, brokenWatches, progressed, trouble } = state
  if (progressed && brokenWatches === 0 && trouble === undefined && !backedOff) return unchanged(state)
  const actions: Array<Action<never>> = []
  if (backedOff) actions.push({ _tag: "ResetBackoff" })
  if (trouble !== undefined) actions.push({ _tag: "Log", level: "Info", message: "Watching again" })
  return [{ ...state, progressed: true, brokenWatches: 0, trouble: undefined, backedOff: false }, actions]
}

const listDue = (state: State): Step<never> => [state, [{ _tag: "ObserveListing", reason: state.relistReason }]]

const relist =
  (reason: RelistReason) =>
  (state: State): Step<never> =>
    listDue({ ...state, position: { _tag: "ListDue" }, relistReason: reason, brokenWatches: 0 })

/** Logs a failure. A repetition of the previous failure is a debug record. */
const warn = (state: State, error: KubeError): Step<never> => {
  const trouble = troubleAfter(state.trouble, error)
  const needed = `the verbs list and watch on ${state.settings.resource}`
  const log: Action<never> = { _tag: "Log", ...failureRecord(error, trouble, needed), error }
  return [
    { ...state, trouble },
    error._tag === "KubeDecodeError" ? [log, { _tag: "ObserveDecodeError", error }] : [log]
  ]
}

// Before Kubernetes 1.32 streaming lists are disabled by default, and the server rejects their parameters as invalid.
const isUnsupported = (phase: Watch, error: KubeError | undefined): boolean =>
  isStreaming(phase) &&
  error?._tag === "KubeStatusError" &&
  !error.inStream &&
  !error.isExpired &&
  rejectsStreamingList.has(error.code)

const watchEnded = (state: State, phase: Watch, input: WatchEnded): Step<never> => {
  const { at, error } = input
  const end = isUnsupported(phase, error) ? "unsupported" : input.end
  return pipe(
    [{ ...state, watchedMillis: state.watchedMillis + at }, [{ _tag: "ObserveWatchEnded", end }]],
    // A server sends all changes before it closes a watch. So the consumer's state was current until now.
    then(phase._tag === "Watching" && end === "closed" ? heard : unchanged),
    then(lost),
    then(isStreaming(phase) ? streamingListEnded(phase, end, error, at) : streamEnded(phase, end, error, at))
  )
}

const streamEnded = (phase: Watch, end: WatchEnd, error: KubeError | undefined, lived: number) => {
  if (end === "silent" && !("spoke" in phase && phase.spoke)) return unreachedVersion
  return error === undefined ? closed(phase, end, lived) : failed(phase, error, lived)
}

const streamingListEnded =
  (phase: Watch, end: WatchEnd, error: KubeError | undefined, lived: number) =>
  (state: State): Step<never> => {
    if (end === "unsupported") {
      const message = "The cluster does not support streaming lists: using the paged list"
      return pipe(pagedListOnly(message, error)(state), then(proceed))
    }
    const message = "Streaming lists do not complete: using the paged list"
    // Without an error, the server closed the watch before the end of the list, or the list took too long.
    if (error === undefined) return pipe(pagedListOnly(message)(state), then(proceed))
    const brokenLists = state.brokenLists + (phase._tag === "StreamingList" ? 1 : 0)
    return pipe(
      [{ ...state, brokenLists }, []],
      then(brokenLists < brokenListsUntilPaged ? unchanged : pagedListOnly(message)),
      then(failed(phase, error, lived))
    )
  }

const pagedListOnly =
  (message: string, error?: KubeError) =>
  (state: State): Step<never> => [{ ...state, streamingList: false }, [{ _tag: "Log", level: "Info", message, error }]]

// A watch cache accepts a watch from a version that it has not reached, and sends nothing until it has. After a restore of
// the store from a backup it may never reach it.
const unreachedVersion = (state: State): Step<never> => pipe(relist("silent")(state), then(proceed))

// Waits after a short watch without news. Otherwise a server that ends every watch at once (a proxy that does not stream,
// an API server that shuts down) would be asked in a hot loop. A short watch is not progress: a list that it completed
// was counted by `replaced`.
const closed =
  (phase: Watch, end: WatchEnd, lived: number) =>
  (state: State): Step<never> => {
    const short = lived < veryShortWatchMillis
    if (short && !(phase._tag === "Watching" && phase.news)) return wait()(state)
    const clean = end === "closed"
    return pipe(
      short ? unchanged(state) : progress(state),
      then((state) => (clean && (short || !isRelistDue(state)) ? proceed(state) : resume(state)))
    )
  }

const failed =
  (phase: Watch, error: KubeError, lived: number) =>
  (state: State): Step<never> =>
    pipe(
      lived > state.settings.backoffLongestMillis && !isStreaming(phase) ? progress(state) : unchanged(state),
      then((state) =>
        isExpired(error) && state.position._tag !== "ListDue"
          ? expired(state, retryAfterOf(error))
          : pipe(
              rejectedVersion(state, error),
              then((state) => warn(state, error)),
              then((state) => watchBroke(state, error)),
              then(wait(retryAfterOf(error)))
            )
      )
    )

// The version to resume from was compacted away, or left the watch cache. That is expected after an outage, so the next
// list begins at once. If every new list expires, the back-off prevents a loop of lists.
const expired = (state: State, retryAfter: Duration.Duration | undefined): Step<never> => {
  const again = state.position._tag === "Listed" || (state.lastRelist === "expired" && !state.progressed)
  return pipe(relist("expired")(state), then(again ? wait(retryAfter) : proceed))
}

const rejectedVersion = (state: State, error: KubeError): Step<never> => {
  if (error._tag !== "KubeStatusError" || state.position._tag === "ListDue") return unchanged(state)
  // The store was restored from a backup, or this replica of the API server lags behind.
  if (error.isVersionTooLarge) return relist("version-too-large")(state)
  return !error.inStream && rejectsVersion.has(error.code) ? relist("refused")(state) : unchanged(state)
}

// An ERROR event (etcd lost its history, the watch cache restarts) or an undecodable event may be transient, or may end
// every watch from this version.
const watchBroke = (state: State, error: KubeError): Step<never> => {
  const broke = error._tag === "KubeDecodeError" || (error._tag === "KubeStatusError" && error.inStream)
  if (!broke || state.position._tag !== "Emitted") return unchanged(state)
  const brokenWatches = state.brokenWatches + 1
  return brokenWatches < brokenWatchesUntilRelist ? [{ ...state, brokenWatches }, []] : relist("broken")(state)
}
