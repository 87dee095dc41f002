/**
 * What can go wrong on the Kubernetes wire. The messages are for the log of the operator: they may name the cluster's
 * address, so they never reach a client as they are.
 */
import { Schema } from "effect"

/** No answer: no connection, a connection that broke, a time-out, or no credentials to ask with. */
export class KubeUnreachable extends Schema.TaggedError<KubeUnreachable>()("KubeUnreachable", {
  operation: Schema.String,
  message: Schema.String
}) {}

/**
 * The cluster answered with an error, as an HTTP status or (`inStream`) as an ERROR event of a watch. `reason` and
 * `causes` are the words of its `Status` object, `retryAfter` what it asked for.
 */
export class KubeStatusError extends Schema.TaggedError<KubeStatusError>()("KubeStatusError", {
  operation: Schema.String,
  code: Schema.Number,
  reason: Schema.String,
  message: Schema.String,
  causes: Schema.Array(Schema.String),
  retryAfter: Schema.optional(Schema.Duration),
  inStream: Schema.Boolean
}) {
  /** The resource version or `continue` token asked for is too old: only a new list helps. */
  get isExpired(): boolean {
    return this.code === 410 || this.reason === "Expired" || this.reason === "Gone"
  }

  /** The resource version asked for is newer than this server has seen, as after a restore of its store. */
  get isVersionTooLarge(): boolean {
    return this.causes.includes("ResourceVersionTooLarge") || this.message.includes("Too large resource version")
  }

  /** The cluster refuses this service: not authenticated, or not permitted. */
  get isForbidden(): boolean {
    return this.code === 401 || this.code === 403
  }
}

/** The cluster's answer is not what its API promises: not JSON, cut mid-line, too long a line, a field missing. */
export class KubeDecodeError extends Schema.TaggedError<KubeDecodeError>()("KubeDecodeError", {
  operation: Schema.String,
  message: Schema.String
}) {}

/** All that a request to the cluster can fail with. */
export type KubeError = KubeUnreachable | KubeStatusError | KubeDecodeError
