/**
 * The one place where a status is chosen: each error tag of the service, its status, its title, and the RFC 9457 problem
 * that a client gets for it.
 */
import { Schema } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"
import type * as Errors from "../contract/Problems.ts"

/** Every error that can end a request. */
export type ServiceError =
  | Errors.BadRequest
  | Errors.Unauthorized
  | Errors.ClusterForbade
  | Errors.Unidentified
  | Errors.UnknownEndpoint
  | Errors.RequestTimeout
  | Errors.NotFound
  | Errors.UriTooLong
  | Errors.TooManyRequests
  | Errors.HeaderFieldsTooLarge
  | Errors.NotReady
  | Errors.ClusterUnavailable
  | Internal

/** A defect, of which the client is told nothing but that there was one. */
export class Internal extends Schema.TaggedError<Internal>()("Internal", {}) {}

/** The `code` member of a problem: the error's tag in the contract. */
export type Code = Exclude<ServiceError["_tag"], "ClusterForbade">

const statuses = {
  BadRequest: { status: 400, title: "Bad Request" },
  Unauthorized: { status: 401, title: "Unauthorized" },
  Unidentified: { status: 403, title: "Forbidden" },
  UnknownEndpoint: { status: 404, title: "Not Found" },
  RequestTimeout: { status: 408, title: "Request Timeout" },
  NotFound: { status: 410, title: "Gone" },
  UriTooLong: { status: 414, title: "URI Too Long" },
  TooManyRequests: { status: 429, title: "Too Many Requests" },
  HeaderFieldsTooLarge: { status: 431, title: "Request Header Fields Too Large" },
  Internal: { status: 500, title: "Internal Server Error" },
  NotReady: { status: 503, title: "Service Unavailable" },
  ClusterUnavailable: { status: 503, title: "Service Unavailable" }
} as const satisfies Record<Code, { readonly status: number; readonly title: string }>

const typeOf = <C extends Code>(code: C): `urn:kube-resource-api:problem:${C}` =>
  `urn:kube-resource-api:problem:${code}`

const declared = <C extends Code>(code: C) => ({ type: typeOf(code), ...statuses[code] })

const coded = <C extends Code>(code: C) => ({ code: Schema.tag(code) })

/** The problems as the contract declares them: what the OpenAPI document shows and what the typed client fails with. */
export class BadRequestProblem extends HttpApiError.Problem<BadRequestProblem>()(
  "BadRequest",
  declared("BadRequest"),
  coded("BadRequest")
) {}
export class UnauthorizedProblem extends HttpApiError.Problem<UnauthorizedProblem>()(
  "Unauthorized",
  declared("Unauthorized"),
  coded("Unauthorized")
) {}
export class UnidentifiedProblem extends HttpApiError.Problem<UnidentifiedProblem>()(
  "Unidentified",
  declared("Unidentified"),
  coded("Unidentified")
) {}
export class UnknownEndpointProblem extends HttpApiError.Problem<UnknownEndpointProblem>()(
  "UnknownEndpoint",
  declared("UnknownEndpoint"),
  coded("UnknownEndpoint")
) {}
export class RequestTimeoutProblem extends HttpApiError.Problem<RequestTimeoutProblem>()(
  "RequestTimeout",
  declared("RequestTimeout"),
  coded("RequestTimeout")
) {}
export class NotFoundProblem extends HttpApiError.Problem<NotFoundProblem>()(
  "NotFound",
  declared("NotFound"),
  coded("NotFound")
) {}
export class UriTooLongProblem extends HttpApiError.Problem<UriTooLongProblem>()(
  "UriTooLong",
  declared("UriTooLong"),
  coded("UriTooLong")
) {}
export class TooManyRequestsProblem extends HttpApiError.Problem<TooManyRequestsProblem>()(
  "TooManyRequests",
  declared("TooManyRequests"),
  coded("TooManyRequests")
) {}
export class HeaderFieldsTooLargeProblem extends HttpApiError.Problem<HeaderFieldsTooLargeProblem>()(
  "HeaderFieldsTooLarge",
  declared("HeaderFieldsTooLarge"),
  coded("HeaderFieldsTooLarge")
) {}
export class InternalProblem extends HttpApiError.Problem<InternalProblem>()(
  "Internal",
  declared("Internal"),
  coded("Internal")
) {}
export class NotReadyProblem extends HttpApiError.Problem<NotReadyProblem>()(
  "NotReady",
  declared("NotReady"),
  coded("NotReady")
) {}
export class ClusterUnavailableProblem extends HttpApiError.Problem<ClusterUnavailableProblem>()(
  "ClusterUnavailable",
  declared("ClusterUnavailable"),
  coded("ClusterUnavailable")
) {}

/** An error as it goes over the wire, whether through a response or straight onto a socket. */
export interface RenderedProblem {
  readonly status: number
  readonly title: string
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/** The tag that the contract knows an error by. */
export const codeOf = (error: ServiceError): Code => (error._tag === "ClusterForbade" ? "Unauthorized" : error._tag)

const detailOf = (error: ServiceError): string => {
  switch (error._tag) {
    case "Internal":
      return "The service failed to answer; the request id finds the cause in its log."
    case "ClusterForbade":
      return `The cluster refused the write: ${error.reason}`
    default:
      return error.detail
  }
}

const retryAfterOf = (error: ServiceError): number | undefined => {
  switch (error._tag) {
    case "TooManyRequests":
    case "ClusterUnavailable":
      return error.retryAfterSeconds
    case "NotReady":
      return 1
    default:
      return undefined
  }
}

/** The fields of the IETF draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers-10). */
const rateLimitOf = (error: ServiceError, retryAfter: number) =>
  error._tag === "TooManyRequests"
    ? {
        "ratelimit-policy": `"${error.policy.name}";q=${error.policy.quota};w=${error.policy.windowSeconds}`,
        ratelimit: `"${error.policy.name}";r=0;t=${retryAfter}`
      }
    : {}

/** Renders an error as its problem; `id` is the request's. */
export const render = (error: ServiceError, id: string): RenderedProblem => {
  const code = codeOf(error)
  const { status, title } = statuses[code]
  const seconds = retryAfterOf(error)
  const retryAfter = seconds === undefined ? undefined : Math.max(1, Math.ceil(seconds))
  return {
    status,
    title,
    body: JSON.stringify({ type: typeOf(code), title, status, detail: detailOf(error), instance: id, code }),
    headers: {
      "x-request-id": id,
      ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter), ...rateLimitOf(error, retryAfter) })
    }
  }
}

const answered = new WeakMap<HttpServerResponse.HttpServerResponse, ServiceError>()

/** The response for an error; `id` is the request's. */
export const respond = (error: ServiceError, id: string): HttpServerResponse.HttpServerResponse => {
  const { status, body, headers } = render(error, id)
  const response = HttpServerResponse.text(body, { status, headers, contentType: "application/problem+json" })
  answered.set(response, error)
  return response
}

/** The error that a response of `respond` answers; `undefined` for every other response. */
export const errorOf = (response: HttpServerResponse.HttpServerResponse): ServiceError | undefined =>
  answered.get(response)
