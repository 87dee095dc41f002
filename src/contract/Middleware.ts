/** The middleware of the endpoints. The tags belong to the contract, the implementations to the server. */
import { HttpApiMiddleware } from "effect/http-api"
import { BadRequest, TooManyRequests, Unidentified } from "./Problems.ts"

/**
 * The endpoint serves identified callers only, each within its rate limit, and its path parameters are valid. A client
 * without a valid certificate receives `Unidentified`, and `TooManyRequests` beyond its rate limit.
 */
export class Identified extends HttpApiMiddleware.Service<Identified>()("kube-resource-api/contract/Identified", {
  error: [Unidentified, TooManyRequests, BadRequest]
}) {}

/** Every request to set a replica count leaves an audit record, whatever its outcome. */
export class Audited extends HttpApiMiddleware.Service<Audited>()("kube-resource-api/contract/Audited") {}

/** The outermost middleware: renders an endpoint's error, and reports the request to log and metrics. */
export class Completed extends HttpApiMiddleware.Service<Completed>()("kube-resource-api/contract/Completed") {}
