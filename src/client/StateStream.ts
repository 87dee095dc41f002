/**
 * Follows the state of a resource through event streams, reconnecting as needed.
 *
 * The protocol is the pure function `step`. It holds the last state and what the next connection resumes from, so that no
 * state is shown twice and none after a newer one.
 */
import { Data, Duration, Effect, Option, Ref, Schedule, Schema, Stream } from "effect"
import { HttpClientError, HttpClientResponse } from "effect/http"
import { eventStream } from "../contract/ReadFields.ts"
import { EntityTag } from "../contract/EntityTag.ts"
import { type Problem, problems } from "../contract/Problems.ts"
import * as EventStream from "./EventStream.ts"

/** The errors that end a stream of states. */
export type WatchError = Problem | HttpClientError.HttpClientError | Schema.SchemaError

/** The header fields with which a connection resumes. */
export interface Resumption {
  readonly "last-event-id"?: EntityTag
  readonly "last-event-version"?: string
}

/** A read whose state can be followed, as the contract declares it. */
export interface Followed<Body, Item> {
  readonly body: Schema.ConstraintDecoder<Body, never>
  readonly changes: Schema.ConstraintDecoder<ReadonlyArray<Item>, never>
  readonly apply: (body: Body, items: ReadonlyArray<Item>) => Body
}

/** What is held between two messages. */
export interface State<Body> {
  /** The last state, and its entity tag. */
  readonly held: { readonly body: Body; readonly etag: EntityTag; readonly version: string | undefined } | undefined
  /** How long the service wants its clients to wait before they reconnect. */
  readonly retryAfter: Duration.Duration
  /** Whether the service has ended the stream. */
  readonly ended: boolean
}

/** The state before the first connection. */
export const initial: State<never> = { held: undefined, retryAfter: Duration.zero, ended: false }

/** The header fields with which the next connection resumes. */
export const resumption = <Body>({ held }: State<Body>): Resumption =>
  held === undefined
    ? {}
    : {
        "last-event-id": held.etag,
        ...(held.version === undefined ? {} : { "last-event-version": held.version })
      }

/** Applies a message. Returns the next state, and the body to emit if it has changed. */
export const step = <Body, Item>(read: Followed<Body, Item>) => {
  const decodeTag = Schema.decodeUnknownEffect(EntityTag)
  const decodeBody = Schema.decodeUnknownEffect(Schema.fromJsonString(read.body))
  const decodeItems = Schema.decodeUnknownEffect(Schema.fromJsonString(read.changes))

  return Effect.fnUntraced(function* (state: State<Body>, message: EventStream.Message) {
    const unchanged = [state, Option.none<Body>()] as const
    if (message._tag === "Alive") return unchanged
    if (message._tag === "Retry") return [{ ...state, retryAfter: message.after }, Option.none<Body>()] as const
    const { data, event, id, version } = message
    if (event === "end") return [{ ...state, ended: true }, Option.none<Body>()] as const
    const { held } = state
    const newest = version ?? held?.version
    const isChange = event === "change"
    // A client ignores events that it does not know. A change without a state to apply it to is followed by a snapshot.
    if (!(event === "snapshot" || (isChange && held !== undefined))) return unchanged
    const etag = yield* decodeTag(id)
    if (held?.etag === etag) {
      return [{ ...state, held: { ...held, version: newest } }, Option.none<Body>()] as const
    }
    const body =
      isChange && held !== undefined ? read.apply(held.body, yield* decodeItems(data)) : yield* decodeBody(data)
    return [{ ...state, held: { body, etag, version: newest } }, Option.some(body)] as const
  })
}

/** A connection ended and another is due, not before `notBefore`. `cause` is for the log. */
class Disconnected extends Data.TaggedError("Disconnected")<{
  readonly cause: unknown
  readonly notBefore: Duration.Duration
}> {}

/** Upper bound of the time that the service asks a client to wait: a larger one may be meant in milliseconds. */
const longestRetryAfter = Duration.minutes(5)

/** A connection is dead after this time without a byte: the service sends a comment every 15 seconds. */
const longestSilence = Duration.seconds(45)

const silent = new Disconnected({ cause: "no byte for 45 seconds", notBefore: Duration.zero })

/** Waits between attempts: exponential, with jitter, at least what the service asks for. The first success resets them. */
const reconnecting = Schedule.min([Schedule.exponential("500 millis"), Schedule.spaced("30 seconds")]).pipe(
  Schedule.jittered,
  Schedule.setInputType<Disconnected | WatchError>(),
  Schedule.while(({ input }) => input._tag === "Disconnected"),
  Schedule.addDelay(({ input }) => Effect.succeed(input._tag === "Disconnected" ? input.notBefore : Duration.zero))
)

const transientStatuses: ReadonlySet<number> = new Set([408, 429])

const isTransient = (status: number): boolean => status >= 500 || transientStatuses.has(status)

const decodeProblem = HttpClientResponse.schemaBodyJson(Schema.Union(Object.values(problems)))

const retryAfterOf = ({ headers }: HttpClientResponse.HttpClientResponse): Duration.Duration =>
  Duration.min(Duration.seconds(Number(/^[0-9]+$/.exec(headers["retry-after"] ?? "")?.[0] ?? 0)), longestRetryAfter)

const undescribed = (response: HttpClientResponse.HttpClientResponse) =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.StatusCodeError({
      request: response.request,
      response,
      description: "the response is neither a stream of events nor a problem of the contract"
    })
  })

/** Fails with the error of a response that is not a stream. */
const refused = Effect.fnUntraced(function* (response: HttpClientResponse.HttpClientResponse) {
  const error = yield* decodeProblem(response).pipe(Effect.catch(() => Effect.succeed(undescribed(response))))
  return yield* isTransient(response.status)
    ? new Disconnected({ cause: error, notBefore: retryAfterOf(response) })
    : Effect.fail(error)
})

const isEventStream = ({ headers, status }: HttpClientResponse.HttpClientResponse): boolean =>
  status === 200 && (headers["content-type"] ?? "").startsWith(eventStream)

/**
 * The states of a resource: the current one, then each new one. `connect` opens a connection. Connections that end or fail
 * are replaced, with back-off; the stream fails with an error that no retry can fix.
 */
export const states = <Body, Item>(
  read: Followed<Body, Item>,
  connect: (resumption: Resumption) => Effect.Effect<HttpClientResponse.HttpClientResponse, WatchError>
): Stream.Stream<Body, WatchError> => {
  const next = step(read)

  const connection = (state: Ref.Ref<State<Body>>) => {
    const disconnected = (cause: unknown) =>
      Effect.flatMap(Ref.get(state), ({ retryAfter }) =>
        Effect.fail(new Disconnected({ cause, notBefore: Duration.min(retryAfter, longestRetryAfter) }))
      )

    const opened = Effect.gen(function* () {
      yield* Ref.update(state, (held) => ({ ...held, ended: false }))
      const response = yield* connect(resumption(yield* Ref.get(state))).pipe(
        Effect.timeoutOrElse({ duration: longestSilence, orElse: () => Effect.fail(silent) }),
        Effect.catchIf(isLost, disconnected)
      )
      if (!isEventStream(response)) return yield* refused(response)
      return response.stream.pipe(
        Stream.timeoutOrElse({ duration: longestSilence, orElse: () => Stream.fail(silent) }),
        // Whatever breaks an open stream, another connection may fix.
        Stream.catchTag("HttpClientError", (cause) => Stream.fromEffect(disconnected(cause)))
      )
    })

    return EventStream.messages(Stream.unwrap(opened)).pipe(
      Stream.mapEffect((message) =>
        Effect.gen(function* () {
          const [after, shown] = yield* next(yield* Ref.get(state), message)
          yield* Ref.set(state, after)
          return { shown, ended: after.ended, isProgress: message._tag !== "Retry" }
        })
      ),
      // An element resets the back-off. A service that only greets its clients must not be asked for ever at the first delay.
      Stream.filter(({ isProgress }) => isProgress),
      Stream.takeUntil(({ ended }) => ended),
      Stream.concat(Stream.fromEffect(disconnected("the stream ended")))
    )
  }

  return Stream.unwrap(
    Effect.map(Ref.make<State<Body>>(initial), (state) =>
      connection(state).pipe(
        Stream.tapError((error) => Effect.logDebug("The stream of events was interrupted", error)),
        Stream.retry(reconnecting),
        Stream.catchTag("Disconnected", Stream.die),
        Stream.flatMap(({ shown }) => (Option.isSome(shown) ? Stream.succeed(shown.value) : Stream.empty))
      )
    )
  )
}

/** Whether the request got no response, or one that is cut off. */
const isLost = (error: Disconnected | WatchError) =>
  HttpClientError.isHttpClientError(error) && error.reason._tag === "TransportError"
