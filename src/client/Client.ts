/**
 * The typed client, derived from the contract that the server serves: one method for each endpoint, with checked
 * parameters, decoded bodies, and the contract's problems as errors (`Effect.catchTag("NotFound", ...)`).
 */
import { Effect, type Layer } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient, type HttpApiEndpoint } from "effect/http-api"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Api } from "../contract/Api.ts"
import type { DeploymentName, NamespaceName, ReplicaCount } from "../contract/Names.ts"
import type { WriteHeaders, WriteQuery } from "../contract/Preconditions.ts"

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
export { alreadySetField } from "../contract/Preconditions.ts"
export {
  BadRequest,
  ClusterUnavailable,
  HeaderFieldsTooLarge,
  Internal,
  isProblem,
  NotFound,
  NotReady,
  PreconditionFailed,
  PreconditionRequired,
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

type Generated = HttpApiClient.ForApi<typeof Api>

/** A write: its path parameters, and optionally its precondition and a dry run. */
export interface SetReplicaCount {
  readonly params: {
    readonly namespace: NamespaceName
    readonly deployment: DeploymentName
    readonly replica_count: ReplicaCount
  }
  /** `if-match`: the count that the deployment must have, or `*` for any. */
  readonly headers?: typeof WriteHeaders.Type
  /** `dryRun`: the cluster checks the write and changes nothing. */
  readonly query?: typeof WriteQuery.Type
}

// A generated method takes a key for each part of a request, also where all of the part is optional.
const setReplicaCount =
  (client: Generated) =>
  <Mode extends HttpApiEndpoint.ClientResponseMode = "decoded-only">(
    request: SetReplicaCount & { readonly responseMode?: Mode }
  ) =>
    client.setReplicaCount({ ...request, headers: request.headers ?? {}, query: request.query ?? {} })

/** The client's type: one method for each endpoint of the contract. */
export type Client = Omit<Generated, "setReplicaCount"> & {
  readonly setReplicaCount: ReturnType<typeof setReplicaCount>
}

/** A client of the service at `url` over any `HttpClient`: mutual TLS in production, canned responses in a test. */
export const make = (url: string): Effect.Effect<Client, never, HttpClient.HttpClient> =>
  Effect.map(
    HttpApiClient.make(Api, { transformClient: HttpClient.mapRequest(HttpClientRequest.prependUrl(url)) }),
    (client) => ({ ...client, setReplicaCount: setReplicaCount(client) })
  )

/** The `HttpClient` layer for mutual TLS with kept-alive connections. */
export const layerMutualTls = (options: MutualTlsOptions): Layer.Layer<HttpClient.HttpClient> =>
  NodeHttpClient.layerNodeHttpOptions({
    keepAlive: true,
    ca: options.ca,
    cert: options.cert,
    key: options.key,
    minVersion: "TLSv1.3"
  })
