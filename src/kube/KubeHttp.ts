/**
 * The HTTP client for the cluster: base URL, credentials for each request, TLS, and detection of dead peers.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Context, Duration, Effect, Layer } from "effect"
import { HttpClient, type HttpClientError, HttpClientRequest } from "effect/http"
import * as http from "node:http"
import * as https from "node:https"
import type { Duplex } from "node:stream"
import { Socket } from "node:net"
import { KubeConfig, type KubeConfigError } from "./KubeConfig.ts"

/** Options of connections to the cluster. */
export interface KubeHttpOptions {
  /**
   * Silence after which the kernel begins to probe the peer. It gives up after ten probes a second apart, so a
   * half-open connection is detected 10 s later. Default: 15 seconds.
   */
  readonly keepAliveDelay?: Duration.Input | undefined
  /** Timeout of connecting, TLS handshake included. Default: 10 seconds. */
  readonly connectTimeout?: Duration.Input | undefined
}

const limitConnecting = <S extends Duplex | null | undefined>(socket: S, millis: number, connected: string): S => {
  if (socket instanceof Socket && socket.connecting) {
    const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${millis} ms`)), millis)
    const done = () => clearTimeout(timer)
    socket.once(connected, done)
    socket.once("close", done)
  }
  return socket
}

class PlainAgent extends http.Agent {
  readonly connectMillis: number
  constructor(options: http.AgentOptions, connectMillis: number) {
    super(options)
    this.connectMillis = connectMillis
  }
  override createConnection(...args: Parameters<http.Agent["createConnection"]>) {
    return limitConnecting(super.createConnection(...args), this.connectMillis, "connect")
  }
}

class TlsAgent extends https.Agent {
  readonly connectMillis: number
  constructor(options: https.AgentOptions, connectMillis: number) {
    super(options)
    this.connectMillis = connectMillis
  }
  override createConnection(...args: Parameters<https.Agent["createConnection"]>) {
    return limitConnecting(super.createConnection(...args), this.connectMillis, "secureConnect")
  }
}

const makeHttp = Effect.fnUntraced(function* (options: KubeHttpOptions) {
  const config = yield* KubeConfig
  const connectMillis = Duration.toMillis(options.connectTimeout ?? "10 seconds")
  // keepAliveMsecs sets SO_KEEPALIVE and its initial delay on the sockets of an agent. It overrides a request's
  // keepAliveInitialDelay, and its default is one second.
  const sockets = { keepAlive: true, keepAliveMsecs: Duration.toMillis(options.keepAliveDelay ?? "15 seconds") }
  const tlsAgent = yield* Effect.acquireRelease(
    Effect.sync(() => new TlsAgent(sockets, connectMillis)),
    (agent) => Effect.sync(() => agent.destroy())
  )
  const plainAgent = yield* Effect.acquireRelease(
    Effect.sync(() => new PlainAgent(sockets, connectMillis)),
    (agent) => Effect.sync(() => agent.destroy())
  )
  const client = yield* Effect.provideService(NodeHttpClient.makeNodeHttp, NodeHttpClient.HttpAgent, {
    http: plainAgent,
    https: tlsAgent
  })

  return client.pipe(
    HttpClient.mapRequestEffect((request) =>
      Effect.map(config.authorize, ({ headers, tls }) => {
        // The agent pools sockets by their TLS options, so a rotated certificate opens new connections and does not
        // affect those in use.
        Object.assign(tlsAgent.options, tls)
        return request.pipe(HttpClientRequest.prependUrl(config.server), HttpClientRequest.setHeaders(headers))
      })
    )
  )
})

/** An HTTP client for paths of the cluster's API. Fails with `KubeConfigError` without credentials. */
export class KubeHttp extends Context.Service<
  KubeHttp,
  HttpClient.HttpClient.With<HttpClientError.HttpClientError | KubeConfigError>
>()("kube-resource-api/kube/KubeHttp") {}

/** Over `node:http` and `node:https`, for the cluster of `KubeConfig`, with options. */
export const layerOptions = (options: KubeHttpOptions): Layer.Layer<KubeHttp, never, KubeConfig> =>
  Layer.effect(KubeHttp, makeHttp(options))

/** Over `node:http` and `node:https`, for the cluster of `KubeConfig`. */
export const layer: Layer.Layer<KubeHttp, never, KubeConfig> = layerOptions({})
