/**
 * The events of a stream (`Accept: text/event-stream`).
 *
 * A `snapshot` or `change` ends with the comment `: version <text>` before its blank line. The text is an opaque version of
 * the state. The service also sends a comment after every 15 seconds without an event.
 */
import { Schema } from "effect"
import { EntityTag } from "./EntityTag.ts"

/** Why the service ends a stream. Only `gone` and `permission` are final: the next request fails with 410 or 401. */
export const EndReason = Schema.Literals(["shutdown", "permission", "certificate", "max_age", "gone"]).annotate({
  identifier: "EndReason",
  description:
    "Why the service ends the stream. `shutdown`: the instance shuts down. `permission`: the caller is no longer permitted. `certificate`: the certificate has expired or was revoked. `max_age`: the stream has reached its maximum age. `gone`: the resource was deleted.",
  examples: ["shutdown"]
})
export type EndReason = typeof EndReason.Type

const end = Schema.fromJsonString(Schema.Struct({ reason: EndReason }))

/** The events of a stream of `body`. `changes` is the data of a `change` event. */
export const eventsOf = <Body extends Schema.Top, Changes extends Schema.Top>(body: Body, changes: Changes) =>
  Schema.Union([
    Schema.Struct({ event: Schema.Literal("snapshot"), id: EntityTag, data: Schema.fromJsonString(body) }),
    Schema.Struct({ event: Schema.Literal("change"), id: EntityTag, data: Schema.fromJsonString(changes) }),
    Schema.Struct({ event: Schema.Literal("end"), id: Schema.optionalKey(EntityTag), data: end })
  ])

/** The comment that holds the version of the state. */
export const versionComment = (version: string): string => `: version ${version}`

const comment = /^: ?version (.+)$/u

/** The version in a line of a stream; `undefined` if the line is not a version comment. */
export const versionIn = (line: string): string | undefined => comment.exec(line)?.[1]
