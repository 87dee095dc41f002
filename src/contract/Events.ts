/**
 * The events of a stream (`Accept: text/event-stream`).
 *
 * After the last line of a `snapshot` or `change`, before its blank line, comes the comment `: version <text>`: an opaque
 * version of the state. Another comment follows every 15 seconds in which nothing happens.
 */
import { Schema } from "effect"
import { EntityTag } from "./EntityTag.ts"

/** Why the service ends a stream. Only `gone` and `permission` are final: the next request fails with 410 or 401. */
export const EndReason = Schema.Literals(["shutdown", "permission", "certificate", "max_age", "gone"]).annotate({
  identifier: "EndReason",
  description:
    "Why the service ends the stream: it shuts down; the caller is not permitted any more; its certificate has expired or was revoked; the stream has reached its maximum age; the resource was deleted.",
  examples: ["shutdown"]
})
export type EndReason = typeof EndReason.Type

const end = Schema.fromJsonString(Schema.Struct({ reason: EndReason }))

/** The events of a stream of `body`, in which `changes` is the data of a change. */
export const eventsOf = <Body extends Schema.Top, Changes extends Schema.Top>(body: Body, changes: Changes) =>
  Schema.Union([
    Schema.Struct({ event: Schema.Literal("snapshot"), id: EntityTag, data: Schema.fromJsonString(body) }),
    Schema.Struct({ event: Schema.Literal("change"), id: EntityTag, data: Schema.fromJsonString(changes) }),
    Schema.Struct({ event: Schema.Literal("end"), id: Schema.optionalKey(EntityTag), data: end })
  ])

/** The comment that holds the version of the state. */
export const versionComment = (version: string): string => `: version ${version}`

const comment = /^: ?version (.+)$/u

/** The version in a line of a stream; `undefined` in any other line. */
export const versionIn = (line: string): string | undefined => comment.exec(line)?.[1]
