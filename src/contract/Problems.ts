/**
 * The typed errors of the service, one class for each tag of the contract, and nothing of HTTP: statuses are chosen in
 * `api/ErrorMapping`. `detail` is shown to the client: it names what the client sent, never how the service is built.
 */
import { Schema } from "effect"

/** Malformed request: HTTP, path segment, replica count, percent-encoding. */
export class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", { detail: Schema.String }) {}

/** The caller is known and is not permitted to do this. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", { detail: Schema.String }) {}

/** The cluster refused this service the write; `reason` is the cluster's own word. */
export class ClusterForbade extends Schema.TaggedError<ClusterForbade>()("ClusterForbade", {
  reason: Schema.String
}) {}

/** No verified client certificate. */
export class Unidentified extends Schema.TaggedError<Unidentified>()("Unidentified", { detail: Schema.String }) {}

/** No such route, or no such method on it. */
export class UnknownEndpoint extends Schema.TaggedError<UnknownEndpoint>()("UnknownEndpoint", {
  detail: Schema.String
}) {}

/** The request took longer than its limit to arrive or to be served. */
export class RequestTimeout extends Schema.TaggedError<RequestTimeout>()("RequestTimeout", { detail: Schema.String }) {}

/** The resource does not exist, or not any more. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { detail: Schema.String }) {}

/** The request target is longer than the limit. */
export class UriTooLong extends Schema.TaggedError<UriTooLong>()("UriTooLong", { detail: Schema.String }) {}

/**
 * The caller's token bucket is empty. `retryAfterSeconds`: when it will hold a token again; `policy`: the bucket's name,
 * how much it holds, and the seconds in which an empty one fills.
 */
export class TooManyRequests extends Schema.TaggedError<TooManyRequests>()("TooManyRequests", {
  detail: Schema.String,
  retryAfterSeconds: Schema.Number,
  policy: Schema.Struct({ name: Schema.String, quota: Schema.Number, windowSeconds: Schema.Number })
}) {}

/** The header block is longer than the limit. */
export class HeaderFieldsTooLarge extends Schema.TaggedError<HeaderFieldsTooLarge>()("HeaderFieldsTooLarge", {
  detail: Schema.String
}) {}

/** The cache has not been filled yet. */
export class NotReady extends Schema.TaggedError<NotReady>()("NotReady", { detail: Schema.String }) {}

/** The cluster did not take the write, or could not be asked whether the caller may: unreachable, overloaded or failing. */
export class ClusterUnavailable extends Schema.TaggedError<ClusterUnavailable>()("ClusterUnavailable", {
  detail: Schema.String,
  retryAfterSeconds: Schema.Number
}) {}
