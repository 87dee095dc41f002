/** The event streams of the in-memory cluster. */
import { Effect, Schedule, Stream, SubscriptionRef } from "effect"
import type { HttpClientError } from "effect/http"
import { type EndReason, versionComment } from "../../contract/Events.ts"
import { bodyOf, itemsOf, type Namespaces, tagOf, type Target } from "./ClusterState.ts"

/** The cluster at one moment. */
export interface Moment {
  readonly namespaces: Namespaces
  /** Grows with each change. */
  readonly version: number
  /** The number of times that the test has ended all open streams, and the reason of the last time. */
  readonly endings: number
  readonly ending: EndReason | "connection lost"
}

const event = (name: string, id: string, data: unknown, version: number): string =>
  `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n${versionComment(String(version))}\n\n`

const end = (reason: EndReason): string => `event: end\ndata: ${JSON.stringify({ reason })}\n\n`

/** The last tag that the client has, and the last state that this stream has sent. */
interface Sent {
  readonly etag: string | undefined
  readonly namespaces: Namespaces | undefined
}

type Output = { readonly text: string } | "ended" | "lost"

/** The output of a stream for a moment, and its state afterwards. */
const outputOf = (target: Target, sent: Sent, endings: number, now: Moment): readonly [Sent, ReadonlyArray<Output>] => {
  if (now.endings > endings) {
    return [sent, now.ending === "connection lost" ? ["lost"] : [{ text: end(now.ending) }, "ended"]]
  }
  const { namespaces, version } = now
  const etag = tagOf(namespaces, target)
  if (etag === undefined) return [sent, [{ text: end("gone") }, "ended"]]
  const after = { etag, namespaces }
  if (etag === sent.etag) return [after, []]
  const text =
    sent.namespaces === undefined
      ? event("snapshot", etag, bodyOf(namespaces, target), version)
      : event("change", etag, itemsOf(sent.namespaces, namespaces, target), version)
  return [after, [{ text }]]
}

const comments = Stream.fromSchedule(Schedule.spaced("15 seconds")).pipe(Stream.map(() => ": still there\n\n"))

/** The text of a stream. `lastEventId` is the client's last tag; `lost` is the error of a lost connection. */
export const stream = (
  cluster: SubscriptionRef.SubscriptionRef<Moment>,
  target: Target,
  lastEventId: string | undefined,
  lost: HttpClientError.HttpClientError
): Stream.Stream<string, HttpClientError.HttpClientError> =>
  Stream.unwrap(
    Effect.map(SubscriptionRef.get(cluster), ({ endings }) => {
      const start: Sent = { etag: lastEventId, namespaces: undefined }
      const events = SubscriptionRef.changes(cluster).pipe(
        Stream.mapAccum(
          () => start,
          (sent, now) => outputOf(target, sent, endings, now)
        ),
        Stream.takeWhile((output) => output !== "ended"),
        Stream.mapEffect((output) => (typeof output === "object" ? Effect.succeed(output.text) : Effect.fail(lost)))
      )
      return Stream.concat(Stream.succeed("retry: 1000\n\n"), Stream.merge(events, comments, { haltStrategy: "left" }))
    })
  )
