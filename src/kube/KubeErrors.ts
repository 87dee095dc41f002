/**
 * The errors of requests to the cluster. Their messages are for the log: they may contain the address of the cluster,
 * so they are never sent to clients.
 */
import { Data, type Duration } from "effect"

/** No response: no connection, a broken connection, a timeout, or no credentials. */
export class KubeUnreachable extends Data.TaggedError("KubeUnreachable")<{
  readonly operation: string
  readonly message: string
}> {}

/**
 * An error response, or an ERROR event of a watch (`inStream`). `reason` and `causes` come from its `Status` object.
 */
export class KubeStatusError extends Data.TaggedError("KubeStatusError")<{
  readonly operation: string
  readonly code: number
  readonly reason: string
  readonly message: string
  readonly causes: ReadonlyArray<string>
  readonly retryAfter?: Duration.Duration | undefined
  readonly inStream: boolean
}> {
  /** The requested resource version or `continue` token was compacted: a new list is needed. */
  get isExpired(): boolean {
    return this.code === 410 || this.reason === "Expired" || this.reason === "Gone"
  }

  /** The server has not reached the requested resource version, as after a restore of its store. */
  get isVersionTooLarge(): boolean {
    return this.causes.includes("ResourceVersionTooLarge") || this.message.includes("Too large resource version")
  }

  /** The cluster denies the request: this service is not authenticated or not authorized. */
  get isForbidden(): boolean {
    return this.code === 401 || this.code === 403
  }
}

/** A response or watch event that cannot be decoded: malformed, truncated, too long, or without a required field. */
export class KubeDecodeError extends Data.TaggedError("KubeDecodeError")<{
  readonly operation: string
  readonly message: string
}> {}

/** The errors of a request to the cluster. */
export type KubeError = KubeUnreachable | KubeStatusError | KubeDecodeError

/** Consecutive denials after which a permission is reported missing. An API server also denies requests after its start. */
const lastingDenials = 5

/** A series of equal failures. */
export interface Trouble {
  readonly failure: string
  /** How many times in a row it occurred. */
  readonly times: number
}

/** Continues the series with an equal failure, or begins another one. */
export const troubleAfter = (before: Trouble | undefined, error: KubeError): Trouble => {
  const failure = `${error.operation} ${error._tag === "KubeStatusError" ? error.code : error._tag}`
  return { failure, times: before?.failure === failure ? before.times + 1 : 1 }
}

/**
 * The log record of the latest failure of a series. It is a warning for the first failure, and when a denial lasts.
 * `needed`: the missing permission, such as "the verb get on this namespace".
 */
export const failureRecord = (
  error: KubeError,
  { times }: Trouble,
  needed: string
): { readonly level: "Warn" | "Debug"; readonly message: string } => {
  if (error._tag !== "KubeStatusError" || !error.isForbidden) {
    return { level: times === 1 ? "Warn" : "Debug", message: `Cannot ${error.operation}: retrying` }
  }
  return times < lastingDenials
    ? {
        level: times === 1 ? "Warn" : "Debug",
        message: `The cluster denies this service to ${error.operation}: retrying`
      }
    : {
        level: times === lastingDenials ? "Warn" : "Debug",
        message: `The cluster does not permit this service to ${error.operation}: grant it ${needed}`
      }
}
