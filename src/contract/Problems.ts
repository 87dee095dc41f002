/**
 * The errors of the contract, each declared once: its tag, its status, its title and the RFC 9457 problem that a client
 * receives. The server fails with these classes, the client fails with them, and the OpenAPI document describes them.
 *
 * `detail` is shown to the client. It names what the client sent, never how the service is built.
 */
import { Schema } from "effect"
import { HttpApiError } from "effect/http-api"
import { ReplicaCount } from "./Names.ts"

/** The media type of a problem (RFC 9457). */
export const problemContentType = "application/problem+json"

const declare = <const Tag extends string, const Status extends number>(tag: Tag, status: Status, title: string) =>
  ({ type: `urn:kube-resource-api:problem:${tag}`, status, title }) as const

const about = (tag: string, description: string) => ({ identifier: tag, description })

const coded = <const Tag extends string>(tag: Tag) => ({ code: Schema.tag(tag) })

/** Malformed HTTP, path segment, replica count, percent-encoding, header field or query. */
export class BadRequest extends HttpApiError.Problem<BadRequest>()(
  "BadRequest",
  declare("BadRequest", 400, "Bad Request"),
  coded("BadRequest"),
  about(
    "BadRequest",
    "The request is malformed: its HTTP, a path segment, the replica count, a header field or the query."
  )
) {}

/** The caller is identified and not permitted; or the cluster itself forbids the write. */
export class Unauthorized extends HttpApiError.Problem<Unauthorized>()(
  "Unauthorized",
  declare("Unauthorized", 401, "Unauthorized"),
  coded("Unauthorized"),
  about("Unauthorized", "The caller is identified and not permitted, or the cluster forbids the write.")
) {}

/** No verified client certificate. */
export class Unidentified extends HttpApiError.Problem<Unidentified>()(
  "Unidentified",
  declare("Unidentified", 403, "Forbidden"),
  coded("Unidentified"),
  about("Unidentified", "The client presented no valid certificate.")
) {}

/** No such route, or no such method on it. */
export class UnknownEndpoint extends HttpApiError.Problem<UnknownEndpoint>()(
  "UnknownEndpoint",
  declare("UnknownEndpoint", 404, "Not Found"),
  coded("UnknownEndpoint"),
  about("UnknownEndpoint", "There is no such endpoint, or it does not accept this method.")
) {}

/** The request took longer than its limit to arrive or to be served. */
export class RequestTimeout extends HttpApiError.Problem<RequestTimeout>()(
  "RequestTimeout",
  declare("RequestTimeout", 408, "Request Timeout"),
  coded("RequestTimeout"),
  about("RequestTimeout", "The request took too long to arrive or to be served.")
) {}

/** The resource does not exist, or not any more. */
export class NotFound extends HttpApiError.Problem<NotFound>()(
  "NotFound",
  declare("NotFound", 410, "Gone"),
  coded("NotFound"),
  about("NotFound", "The namespace or deployment does not exist, or not any more.")
) {}

/** The desired count does not match `If-Match`. */
export class PreconditionFailed extends HttpApiError.Problem<PreconditionFailed>()(
  "PreconditionFailed",
  declare("PreconditionFailed", 412, "Precondition Failed"),
  {
    ...coded("PreconditionFailed"),
    current: ReplicaCount.annotate({ description: "The desired count, read from the cluster after the write failed." })
  },
  about("PreconditionFailed", "The desired count does not match If-Match. Nothing was set.")
) {}

/** The request target is longer than the limit. */
export class UriTooLong extends HttpApiError.Problem<UriTooLong>()(
  "UriTooLong",
  declare("UriTooLong", 414, "URI Too Long"),
  coded("UriTooLong"),
  about("UriTooLong", "The request target is longer than the limit.")
) {}

/** The policy permits this write only with `If-Match`. */
export class PreconditionRequired extends HttpApiError.Problem<PreconditionRequired>()(
  "PreconditionRequired",
  declare("PreconditionRequired", 428, "Precondition Required"),
  coded("PreconditionRequired"),
  about("PreconditionRequired", "The caller may set this count only with If-Match and the count that it expects.")
) {}

/** A token bucket: its name, how many tokens it holds, and the seconds in which an empty one fills. */
export interface BucketPolicy {
  readonly name: string
  readonly quota: number
  readonly windowSeconds: number
}

/** The caller's token bucket is empty. */
export class TooManyRequests extends HttpApiError.Problem<TooManyRequests>()(
  "TooManyRequests",
  declare("TooManyRequests", 429, "Too Many Requests"),
  coded("TooManyRequests"),
  about("TooManyRequests", "The caller has spent its budget of requests.")
) {
  /** `Retry-After`: seconds until the bucket holds a token again. Set by the server; a client does not decode it. */
  readonly retryAfterSeconds: number = 1
  /** The bucket: `RateLimit` and `RateLimit-Policy`. */
  readonly policy: BucketPolicy | undefined = undefined

  /** The error of a bucket that holds a token again in `retryAfterSeconds`. */
  static of(detail: string, retryAfterSeconds: number, policy: BucketPolicy): TooManyRequests {
    return Object.assign(new TooManyRequests({ detail }), { retryAfterSeconds, policy })
  }
}

/** The header block is longer than the limit. */
export class HeaderFieldsTooLarge extends HttpApiError.Problem<HeaderFieldsTooLarge>()(
  "HeaderFieldsTooLarge",
  declare("HeaderFieldsTooLarge", 431, "Request Header Fields Too Large"),
  coded("HeaderFieldsTooLarge"),
  about("HeaderFieldsTooLarge", "The header block is longer than the limit.")
) {}

/** A defect. The client learns nothing else about it. */
export class Internal extends HttpApiError.Problem<Internal>()(
  "Internal",
  declare("Internal", 500, "Internal Server Error"),
  coded("Internal"),
  about("Internal", "The service failed to answer; the log has the cause under the request id.")
) {}

/** The cache is not filled yet, the instance is shutting down, or too many requests are in flight. */
export class NotReady extends HttpApiError.Problem<NotReady>()(
  "NotReady",
  declare("NotReady", 503, "Service Unavailable"),
  coded("NotReady"),
  about(
    "NotReady",
    "The instance is not synced yet, is shutting down, has too many requests or response bytes at once, or cannot record the write."
  )
) {
  /** `Retry-After`, in seconds. Set by the server; a client does not decode it. */
  readonly retryAfterSeconds: number = 1
}

/**
 * The cluster is unreachable, overloaded or failing: it did not accept the write, or did not answer an access review.
 */
export class ClusterUnavailable extends HttpApiError.Problem<ClusterUnavailable>()(
  "ClusterUnavailable",
  declare("ClusterUnavailable", 503, "Service Unavailable"),
  coded("ClusterUnavailable"),
  about("ClusterUnavailable", "The cluster could not be reached, is overloaded or failed.")
) {
  /** `Retry-After`, in seconds. Set by the server; a client does not decode it. */
  readonly retryAfterSeconds: number = 1

  /** The error with the cluster's own `Retry-After`, `retryAfterSeconds`. */
  static after(detail: string, retryAfterSeconds: number): ClusterUnavailable {
    return Object.assign(new ClusterUnavailable({ detail }), { retryAfterSeconds })
  }
}

/** Every error class, by its tag. The table of statuses derives from it. */
export const problems = {
  BadRequest,
  Unauthorized,
  Unidentified,
  UnknownEndpoint,
  RequestTimeout,
  NotFound,
  PreconditionFailed,
  UriTooLong,
  PreconditionRequired,
  TooManyRequests,
  HeaderFieldsTooLarge,
  Internal,
  NotReady,
  ClusterUnavailable
} as const

/** Every error that can end a request. */
export type Problem = InstanceType<(typeof problems)[keyof typeof problems]>

/** The `code` member of a problem: the error's tag. */
export type Code = Problem["code"]

const classes = Object.values(problems)

/** Whether a value is one of the contract's errors. */
export const isProblem = (value: unknown): value is Problem => classes.some((one) => value instanceof one)

/** The JSON members of a problem in a response. `instance` is the request id. */
export const membersOf = (problem: Problem, detail: string | undefined, instance: string) => {
  const { code, status, title, type } = problem
  const members = { type, title, status, detail, instance, code }
  return problem.code === "PreconditionFailed" ? { ...members, current: problem.current } : members
}

/** `Retry-After` as the server writes it: whole seconds, at least 1. */
const wholeSeconds = (seconds: number): number => Math.max(1, Math.ceil(seconds))

/**
 * The header fields that belong to an error. Those of `TooManyRequests` follow the IETF draft "RateLimit header fields for
 * HTTP" (draft-ietf-httpapi-ratelimit-headers-10).
 */
export const headersOf = (problem: Problem): Readonly<Record<string, string>> => {
  if (!("retryAfterSeconds" in problem)) return {}
  const seconds = String(wholeSeconds(problem.retryAfterSeconds))
  const policy = problem.code === "TooManyRequests" ? problem.policy : undefined
  return policy === undefined
    ? { "retry-after": seconds }
    : {
        "retry-after": seconds,
        "ratelimit-policy": `"${policy.name}";q=${policy.quota};w=${policy.windowSeconds}`,
        ratelimit: `"${policy.name}";r=0;t=${seconds}`
      }
}
