/**
 * The typed client, made from the contract that the server serves: calls with checked parameters, answers as decoded
 * values, and failures as the contract's problems (`error._tag === "NotFound"`, ...).
 */
import { Effect, Layer } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Api } from "../contract/Api.ts"

/** Where the service is and who is calling: PEM texts, and the CA that signed the server's certificate. */
export interface ClientOptions {
  readonly url: string
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** The client's type: one method for each endpoint of the contract. */
export type Client = HttpApiClient.ForApi<typeof Api>

/** A client over any `HttpClient`, for instance one that a test provides. */
export const make = (url: string): Effect.Effect<Client, never, HttpClient.HttpClient> =>
  HttpApiClient.make(Api, { transformClient: HttpClient.mapRequest(HttpClientRequest.prependUrl(url)) })

/** The `HttpClient` layer for mutual TLS with kept-alive connections. */
export const layerMutualTls = (options: Omit<ClientOptions, "url">): Layer.Layer<HttpClient.HttpClient> =>
  NodeHttpClient.layerNodeHttpOptions({
    keepAlive: true,
    ca: options.ca,
    cert: options.cert,
    key: options.key,
    minVersion: "TLSv1.3"
  })
