/** Reads a body of server-sent events. */
import { Duration, Effect, Stream } from "effect"
import * as Sse from "effect/encoding/Sse"
import { versionIn } from "../contract/Events.ts"

/** A message of an event stream: an event with the version of its state, a reconnection delay, or a sign of life. */
export type Message =
  | {
      readonly _tag: "Event"
      readonly event: string
      readonly id: string | undefined
      readonly data: string
      readonly version: string | undefined
    }
  | { readonly _tag: "Retry"; readonly after: Duration.Duration }
  | { readonly _tag: "Alive" }

/** Parses lines. Effect's parser ignores comments, but the versions are in comments. */
class LineParser {
  private messages: Array<Message> = []
  private version: string | undefined
  private readonly parser = Sse.makeParser(
    (item) => {
      if (item._tag === "Retry") {
        this.messages.push({ _tag: "Retry", after: item.duration })
        return
      }
      const { data, event, id } = item
      this.messages.push({ _tag: "Event", event, id, data, version: this.version })
      this.version = undefined
    },
    // A list has no maximum length.
    { maxEventSize: Number.POSITIVE_INFINITY }
  )

  feed(line: string): ReadonlyArray<Message> {
    this.messages = []
    if (line.startsWith(":")) {
      this.version = versionIn(line) ?? this.version
      return [{ _tag: "Alive" }]
    }
    this.parser.feed(`${line}\n`)
    return this.messages
  }
}

/** The messages of a body. */
export const messages = <E>(body: Stream.Stream<Uint8Array, E>): Stream.Stream<Message, E> =>
  Stream.unwrap(
    Effect.sync(() => {
      const parser = new LineParser()
      return body.pipe(
        Stream.decodeText,
        Stream.splitLines,
        Stream.flatMap((line) => Stream.fromIterable(parser.feed(line)))
      )
    })
  )
