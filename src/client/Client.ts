/**
 * The typed client, derived from the contract that the server serves: one method for each endpoint, with checked
 * parameters, decoded bodies, and the contract's problems as errors (`Effect.catchTag("NotFound", ...)`).
 */
import { Effect, Layer } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Api } from "../contract/Api.ts"

export type { Code, Problem } from "../contract/Problems.ts"
export {
  AllDeploymentLists,
  AllReplicaCounts,
  DeploymentList,
  DeploymentReplicaCount,
  NamespaceList,
  NamespaceReplicaCounts,
  ReplicaCountsByNamespace
} from "../contract/Bodies.ts"
export { DeploymentName, maxReplicaCount, NamespaceName, ReplicaCount } from "../contract/Names.ts"
export {
  BadRequest,
  ClusterUnavailable,
  HeaderFieldsTooLarge,
  Internal,
  isProblem,
  NotFound,
  NotReady,
  RequestTimeout,
  TooManyRequests,
  Unauthorized,
  Unidentified,
  UriTooLong
} from "../contract/Problems.ts"

/** The client's certificate and key, and the CA of the server's certificate, as PEM texts. */
export interface MutualTlsOptions {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** The client's type: one method for each endpoint of the contract. */
export type Client = HttpApiClient.ForApi<typeof Api>

/** A client of the service at `url` over any `HttpClient`: mutual TLS in production, canned responses in a test. */
export const make = (url: string): Effect.Effect<Client, never, HttpClient.HttpClient> =>
  HttpApiClient.make(Api, { transformClient: HttpClient.mapRequest(HttpClientRequest.prependUrl(url)) })

/** The `HttpClient` layer for mutual TLS with kept-alive connections. */
export const layerMutualTls = (options: MutualTlsOptions): Layer.Layer<HttpClient.HttpClient> =>
  NodeHttpClient.layerNodeHttpOptions({
    keepAlive: true,
    ca: options.ca,
    cert: options.cert,
    key: options.key,
    minVersion: "TLSv1.3"
  })
