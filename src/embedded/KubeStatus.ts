import { Data } from "effect"

/** The `details` of a Kubernetes Status object. */
export interface StatusDetails {
  readonly name?: string
  readonly group?: string
  readonly kind?: string
  readonly causes?: ReadonlyArray<{ readonly reason: string; readonly message: string; readonly field?: string }>
  readonly retryAfterSeconds?: number
}

/**
 * An error response: `code` is the HTTP status, `reason` the machine-readable reason. `continueToken` becomes
 * `metadata.continue`, with which a client may continue an expired list inconsistently. `retryAfterSeconds` in the
 * details is also sent as the `Retry-After` header.
 */
export class KubeStatus extends Data.TaggedError("KubeStatus")<{
  readonly code: number
  readonly reason: string
  readonly message: string
  readonly details?: StatusDetails
  readonly continueToken?: string
}> {}

/** The JSON of the Status object, as kube-apiserver sends it. */
export const statusJson = (status: KubeStatus): string =>
  JSON.stringify({
    kind: "Status",
    apiVersion: "v1",
    metadata: status.continueToken === undefined ? {} : { continue: status.continueToken },
    status: "Failure",
    message: status.message,
    reason: status.reason,
    ...(status.details === undefined ? {} : { details: status.details }),
    code: status.code
  })

const reasons: ReadonlyMap<number, string> = new Map([
  [400, "BadRequest"],
  [401, "Unauthorized"],
  [403, "Forbidden"],
  [404, "NotFound"],
  [405, "MethodNotAllowed"],
  [406, "NotAcceptable"],
  [409, "Conflict"],
  [410, "Expired"],
  [413, "RequestEntityTooLarge"],
  [415, "UnsupportedMediaType"],
  [422, "Invalid"],
  [429, "TooManyRequests"],
  [500, "InternalError"],
  [503, "ServiceUnavailable"],
  [504, "Timeout"]
])

/** A Status with the reason that Kubernetes uses for the code. */
export const statusOf = (code: number, message: string, details?: StatusDetails): KubeStatus =>
  new KubeStatus({ code, reason: reasons.get(code) ?? "", message, ...(details === undefined ? {} : { details }) })

/** 404. `kind` is the plural name of the resource, as in messages of kube-apiserver. */
export const notFound = (kind: string, group: string, name: string): KubeStatus =>
  statusOf(404, `${group === "" ? kind : `${kind}.${group}`} ${JSON.stringify(name)} not found`, {
    name,
    ...(group === "" ? {} : { group }),
    kind
  })

/** 410: the requested version was compacted. */
export const tooOldResourceVersion = (requested: number, oldest: number): KubeStatus =>
  statusOf(410, `too old resource version: ${requested} (${oldest})`)

/** 504: the requested version is one that this server has not reached. */
export const tooLargeResourceVersion = (requested: number, current: number): KubeStatus =>
  statusOf(504, `Timeout: Too large resource version: ${requested}, current: ${current}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1
  })
