import { Clock, Context, Duration, Effect, Layer, Scope, Stream, Tracer } from "effect"
import { HttpMiddleware, HttpRouter, type HttpServerRequest, type HttpServerResponse } from "effect/http"
import { HttpApiBuilder, OpenApi } from "effect/http-api"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import type { IncomingMessage } from "node:http"
import { createServer, type Server as NodeHttpsServer } from "node:https"
import { Api, WatcherApi } from "../contract/Api.ts"
import * as App from "../http/App.ts"
import * as Audited from "../http/Audited.ts"
import * as Completion from "../http/Completion.ts"
import * as HeldResponses from "../http/held/HeldResponses.ts"
import * as Identified from "../http/Identified.ts"
import * as ReadPath from "../http/ReadPath.ts"
import { requestId, type RequestLimits } from "../http/RequestForm.ts"
import * as ResourceHandlers from "../http/ResourceHandlers.ts"
import * as ServiceHandlers from "../http/ServiceHandlers.ts"
import * as ChainDepth from "../identity/ChainDepth.ts"
import { ClientIdentity } from "../identity/Identity.ts"
import { ServerTls } from "../identity/ServerTls.ts"
import { contextOptions, type TlsMaterial } from "../identity/Tls.ts"
import * as ClusterWrites from "../limits/ClusterWrites.ts"
import * as InFlight from "../limits/InFlight.ts"
import { connectionsThatFit } from "../limits/OpenFiles.ts"
import * as ResponseBytes from "../limits/ResponseBytes.ts"
import { RequestObserver } from "../observability/RequestObserver.ts"
import { RequestTracing } from "../observability/RequestTracing.ts"
import * as Acceptor from "./Acceptor.ts"
import * as Connections from "./Connections.ts"
import * as Handshakes from "./Handshakes.ts"
import * as SpentConnection from "./SpentConnection.ts"
import { endWith, onClientError } from "./WireError.ts"

/** The address and limits of the server, named as the settings. */
export interface ServerSettings
  extends
    RequestLimits,
    Connections.ConnectionLimits,
    ClusterWrites.ClusterWriteLimits,
    Omit<HeldResponses.HeldLimits, "maxConnections" | "responseTimeout"> {
  readonly host: string
  readonly port: number
  readonly readyMaxStaleness: Duration.Duration | undefined
  readonly maxInFlight: number
  readonly maxResponseBytes: number
  readonly tlsHandshakeTimeout: Duration.Duration
  readonly headersTimeout: Duration.Duration
  readonly shutdownTimeout: Duration.Duration
  /** A watcher serves only probes, metrics and its OpenAPI document; any other instance serves the whole API. */
  readonly role: "all" | "watcher" | "server"
}

/** The HTTP application: every request that the read path does not answer. */
export type Application<E = never> = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  E,
  HttpServerRequest.HttpServerRequest | Scope.Scope
>

/** Middleware around the whole application. Log, metrics and audit are inside and see what it may hide. */
export type Middleware = <E>(application: Application<E>) => Application<E>

/** The port that the service listens on. */
export class Server extends Context.Service<Server, { readonly port: number }>()("kube-resource-api/server/Server") {}

const makeHttps = (tls: TlsMaterial, settings: ServerSettings) =>
  createServer({
    ...contextOptions(tls),
    IncomingMessage: SpentConnection.Request,
    ServerResponse: SpentConnection.Response,
    requestCert: true,
    // With `TLS_CLIENT_AUTH=optional`, a client without a valid certificate reaches the probes, and gets 403 elsewhere.
    rejectUnauthorized: tls.requireClientCertificate,
    maxHeaderSize: settings.maxTargetBytes + settings.maxHeaderBytes,
    headersTimeout: Duration.toMillis(settings.headersTimeout),
    requestTimeout: Duration.toMillis(settings.requestTimeout),
    keepAliveTimeout: Duration.toMillis(settings.keepAliveTimeout),
    handshakeTimeout: Duration.toMillis(settings.tlsHandshakeTimeout),
    connectionsCheckingInterval: Math.max(
      1,
      Math.min(1000, Math.floor(Duration.toMillis(settings.headersTimeout) / 2))
    ),
    // Node's own response to a request without Host has no body. The application answers with a problem.
    requireHostHeader: false,
    // Most requests have no body and need no stream for it.
    optimizeEmptyRequests: true,
    // The service supports no upgrade: it ignores the `Upgrade` header.
    shouldUpgradeCallback: () => false
  })

/** The routes of a role, with their handlers. */
const routes = (settings: ServerSettings) => {
  const isWatcher = settings.role === "watcher"
  const api = isWatcher
    ? HttpApiBuilder.layer(WatcherApi).pipe(Layer.provide(ServiceHandlers.description(OpenApi.fromApi(WatcherApi))))
    : HttpApiBuilder.layer(Api).pipe(
        Layer.provide(ResourceHandlers.layer(settings.requestTimeout)),
        Layer.provide(ServiceHandlers.description(OpenApi.fromApi(Api))),
        Layer.provide(ClusterWrites.layer(settings))
      )
  return api.pipe(
    Layer.provide([ServiceHandlers.probes(settings.readyMaxStaleness), ServiceHandlers.metrics]),
    Layer.provide([Identified.layer(settings), Audited.layer, Completion.layer]),
    Layer.provide(NodeHttpServer.layerHttpServices)
  )
}

/** Paths match exactly. */
const exactPaths = Layer.succeed(HttpRouter.RouterConfig, {
  ignoreTrailingSlash: false,
  ignoreDuplicateSlashes: false,
  caseSensitive: true,
  // Longer than any target: a name that is too long gets 400, not 404.
  maxParamLength: 65_536
})

/** Applies each change of the TLS files to later handshakes. Open connections stay. */
const followTls = (server: NodeHttpsServer, created: TlsMaterial) =>
  Effect.flatMap(ServerTls, ({ changes }) =>
    changes.pipe(
      Stream.filter((material) => material !== created),
      Stream.runForEach((material) =>
        Effect.catchCause(
          Effect.sync(() => server.setSecureContext(contextOptions(material))),
          (cause) => Effect.logError("Cannot apply changed TLS files; the previous files stay in use", cause)
        )
      ),
      Effect.forkScoped
    )
  )

/** The handler of requests that are not traced: neither they nor their requests to the cluster make spans. */
const withoutSpans = <A, E, R>(handler: Effect.Effect<A, E, R>, { untraced }: RequestTracing) =>
  handler.pipe(
    Effect.provideService(Tracer.Tracer, untraced),
    Effect.provideService(HttpMiddleware.TracerDisabledWhen, () => true)
  )

/** Handlers run with the tracer of their construction: it samples nothing by itself, and follows the span of a request. */
const routerOf = (
  settings: ServerSettings,
  responseBytes: ResponseBytes.ResponseBytes["Service"],
  held: HeldResponses.HeldResponses["Service"],
  tracing: RequestTracing | undefined
) => {
  const router = HttpRouter.toHttpEffect(routes(settings)).pipe(
    Effect.provide(exactPaths),
    Effect.provideService(ResponseBytes.ResponseBytes, responseBytes),
    Effect.provideService(HeldResponses.HeldResponses, held)
  )
  return tracing === undefined ? router : Effect.provideService(router, Tracer.Tracer, tracing.untraced)
}

/** Serves the API over HTTPS for as long as its scope is open. Fails with a `ListenError`. */
export const layer = (settings: ServerSettings, middleware: Middleware) =>
  Layer.effect(
    Server,
    Effect.gen(function* () {
      yield* ChainDepth.bound
      const tls = (yield* ServerTls).current()
      const identities = yield* ClientIdentity
      const observer = yield* RequestObserver
      const clock = yield* Clock.Clock
      const https = makeHttps(tls, settings)
      const maxConnections = yield* connectionsThatFit(settings.maxConnections)
      const inFlight = yield* InFlight.make(settings.maxInFlight)
      const connections = yield* Connections.follow(https, { ...settings, maxConnections }, inFlight)
      Handshakes.count(https, yield* Effect.context<never>())
      https.on("secureConnection", (socket) => identities.connected(socket, clock.currentTimeMillisUnsafe()))
      https.on("clientError", onClientError(connections, observer))
      https.on("connect", (request, socket) => {
        endWith(socket, App.unknownEndpoint, requestId(request.headers["x-request-id"]), observer, "CONNECT")
      })
      yield* followTls(https, tls)

      const tracing = yield* RequestTracing
      const responseBytes = yield* ResponseBytes.make(settings.maxResponseBytes)
      const held = yield* HeldResponses.make({ ...settings, maxConnections }, responseBytes, (response, supersede) =>
        connections.hold(response, supersede)
      )
      const router = yield* routerOf(settings, responseBytes, held, tracing)
      const app = middleware(yield* App.make(router, settings))
      // Closes after the acceptor, so that requests are interrupted only after their connections have drained.
      const requests = yield* Effect.acquireRelease(Scope.make("parallel"), Scope.close)
      const handler = NodeHttpServer.makeHandler(app, { scope: requests })
      const traced =
        tracing === undefined ? yield* handler : yield* Effect.provideService(handler, Tracer.Tracer, tracing.traced)
      const untraced = tracing === undefined ? traced : yield* withoutSpans(handler, tracing)
      const answeredFromCache =
        settings.role === "watcher" ? () => false : yield* ReadPath.make(settings, responseBytes, held)
      // The one pipeline: connection guard, read path, routes.
      const serve = (request: IncomingMessage, response: SpentConnection.Response): void => {
        if (!connections.received(request, response)) return
        const isTraced = tracing?.isTraced(request.headers["traceparent"]) === true
        if (isTraced) traced(request, response)
        else if (!answeredFromCache(request, response)) untraced(request, response)
      }
      https.on("request", serve)
      // The body is never read, so no `100 Continue` is sent. Other expectations are ignored.
      https.on("checkContinue", serve)
      https.on("checkExpectation", serve)

      const acceptor = yield* Effect.acquireRelease(
        Acceptor.make(https, (socket) => connections.admit(socket), settings),
        ({ close }) => Effect.raceFirst(close, connections.drain(Duration.toMillis(settings.shutdownTimeout)))
      )
      return { port: acceptor.port }
    })
  )
