/**
 * The typed client, derived from the contract that the server serves: one method for each endpoint, with checked
 * parameters, decoded bodies, and the contract's problems as errors (`Effect.catchTag("NotFound", ...)`). Each read
 * also has a conditional read and a stream of states.
 */
import { Effect, type Layer } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Api } from "../contract/Api.ts"
import { eventStream } from "../contract/ReadFields.ts"
import { ConditionalReads, Streams } from "../contract/Reads.ts"
import { changedReads, taggedReads } from "./ConditionalReads.ts"
import * as Watches from "./Watches.ts"
import * as Writes from "./Writes.ts"

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
export { EntityTag, ofCount as entityTagOf } from "../contract/EntityTag.ts"
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
  UnknownEndpoint,
  UriTooLong
} from "../contract/Problems.ts"
export type { Condition, Tagged } from "./ConditionalReads.ts"
export type { WatchError } from "./StateStream.ts"
export type { SetReplicaCount, UpdateReplicaCount } from "./Writes.ts"

/** The client's certificate and key, and the CA of the server's certificate, as PEM texts. */
export interface MutualTlsOptions {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** The client's type: a method for each endpoint of the contract, and a stream of states for each read. */
export interface Client
  extends
    Omit<HttpApiClient.ForApi<typeof Api>, keyof ReturnType<typeof Writes.make>>,
    ReturnType<typeof Writes.make>,
    ReturnType<typeof Watches.make> {
  /** The reads, each with the entity tag of its body. */
  readonly tagged: ReturnType<typeof taggedReads>
  /** The conditional reads: `Option.none()` while the caller's entity tag is current. */
  readonly changed: ReturnType<typeof changedReads>
}

/** A client of the service at `url` over any `HttpClient`: mutual TLS in production, `layer` of `testing` in a test. */
export const make = (url: string): Effect.Effect<Client, never, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const at = HttpClient.mapRequest(HttpClientRequest.prependUrl(url))
    const plain = yield* HttpApiClient.make(Api, { transformClient: at })
    const conditional = yield* HttpApiClient.make(ConditionalReads, { transformClient: at })
    const streams = yield* HttpApiClient.make(Streams, {
      transformClient: (client) => at(HttpClient.mapRequest(client, HttpClientRequest.accept(eventStream)))
    })
    return {
      ...plain,
      ...Writes.make(plain),
      ...Watches.make(streams),
      tagged: taggedReads(plain),
      changed: changedReads(conditional)
    }
  })

/** The `HttpClient` layer for mutual TLS with kept-alive connections. */
export const layerMutualTls = (options: MutualTlsOptions): Layer.Layer<HttpClient.HttpClient> =>
  NodeHttpClient.layerNodeHttpOptions({
    keepAlive: true,
    ca: options.ca,
    cert: options.cert,
    key: options.key,
    minVersion: "TLSv1.3"
  })
