import { Clock, Duration, Effect, Layer, Stream } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { HttpApiBuilder, OpenApi } from "effect/http-api"
import { NodeHttpServer } from "@effect/platform-node"
import { createServer, type Server as HttpsServer } from "node:https"
import { UnknownEndpoint } from "../contract/Problems.ts"
import { ClientIdentity } from "../identity/Identity.ts"
import { ServerTls } from "../identity/ServerTls.ts"
import { contextOptions, type TlsMaterial } from "../identity/Tls.ts"
import * as AcceptErrors from "./AcceptErrors.ts"
import { Api, WatcherApi } from "../contract/Api.ts"
import * as App from "../http/App.ts"
import { Audited } from "../http/Audited.ts"
import * as ClusterWrites from "../limits/ClusterWrites.ts"
import * as Connections from "./Connections.ts"
import { descriptionHandlers } from "../http/DescriptionHandlers.ts"
import * as Handshakes from "./Handshakes.ts"
import { Identified } from "../http/Identified.ts"
import * as InFlight from "../limits/InFlight.ts"
import { metricsHandlers } from "../http/MetricsHandlers.ts"
import { connectionsThatFit } from "../limits/OpenFiles.ts"
import { probeHandlers } from "../http/ProbeHandlers.ts"
import { resourceHandlers } from "../http/ResourceHandlers.ts"
import * as ReadPath from "../http/ReadPath.ts"
import type { RequestLimits } from "../http/RequestForm.ts"
import { requestId } from "../http/RequestId.ts"
import { RequestObserver, unobserved } from "../observability/RequestObserver.ts"
import { RequestTracing } from "../observability/RequestTracing.ts"
import * as RouteCapture from "../http/RouteCapture.ts"
import * as SpentConnection from "./SpentConnection.ts"
import { endWith, onClientError } from "./WireError.ts"

/** Where the server listens and what it puts up with; the words are those of the settings. */
export interface ServerSettings extends RequestLimits, Connections.ConnectionLimits, ClusterWrites.ClusterWriteLimits {
  readonly host: string
  readonly port: number
  readonly readyMaxStaleness: Duration.Duration | undefined
  readonly maxInFlight: number
  readonly tlsHandshakeTimeout: Duration.Duration
  readonly headersTimeout: Duration.Duration
  readonly shutdownTimeout: Duration.Duration
  /** A watcher answers probes and metrics alone; all others, and an instance without a role, the whole API. */
  readonly role?: "all" | "watcher" | "server" | undefined
}

const makeHttps = Effect.fnUntraced(function* (tls: TlsMaterial, settings: ServerSettings) {
  const observer = yield* RequestObserver
  const server = createServer({
    ...contextOptions(tls),
    IncomingMessage: SpentConnection.Request,
    ServerResponse: SpentConnection.Response,
    requestCert: true,
    // Without a valid certificate a client still reaches the probes, and its refusal in the contract's form.
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
    // Node would answer a request without Host by itself, with no body; the application does it in the contract's form.
    requireHostHeader: false,
    // The many requests without a body need no stream for it.
    optimizeEmptyRequests: true,
    // Nothing is upgraded to, and a request that asks for it is one like any other.
    shouldUpgradeCallback: () => false
  })
  const inFlight = yield* InFlight.make(settings.maxInFlight)
  const maxConnections = yield* connectionsThatFit(settings.maxConnections)
  const connections = yield* Connections.follow(server, { ...settings, maxConnections }, inFlight)
  Handshakes.count(server, yield* Effect.context<never>())
  server.on("clientError", onClientError(connections, observer))
  server.on("connect", (request, socket) => {
    endWith(
      socket,
      new UnknownEndpoint({ detail: "There is no such endpoint, or it does not take this method." }),
      requestId(request.headers["x-request-id"]),
      observer,
      "CONNECT"
    )
  })
  yield* AcceptErrors.logged(server)
  // An expectation other than 100-continue is no reason not to answer.
  server.on("checkExpectation", (request, response) => server.emit("request", request, response))
  return { server, connections }
})

/** The contract's routes over the handlers. */
const routes = (settings: ServerSettings, isObserved: boolean) =>
  HttpApiBuilder.layer(Api).pipe(
    Layer.provide(resourceHandlers(settings.requestTimeout)),
    Layer.provide(descriptionHandlers(OpenApi.fromApi(Api))),
    Layer.provide(ClusterWrites.layer(settings)),
    overHandlers(settings, isObserved)
  )

/** The routes of a watcher. */
const watcherRoutes = (settings: ServerSettings, isObserved: boolean) =>
  HttpApiBuilder.layer(WatcherApi).pipe(
    Layer.provide(descriptionHandlers(OpenApi.fromApi(WatcherApi))),
    overHandlers(settings, isObserved)
  )

const overHandlers =
  (settings: ServerSettings, isObserved: boolean) =>
  <A, E, R>(layer: Layer.Layer<A, E, R>) =>
    layer.pipe(
      Layer.provide([probeHandlers(settings.readyMaxStaleness), metricsHandlers]),
      Layer.provide([Identified.layer, Audited.layer, isObserved ? RouteCapture.layer : Layer.empty])
    )

/** Paths are taken as they are: no other spelling of an endpoint is one. */
const exactPaths = Layer.succeed(HttpRouter.RouterConfig, {
  ignoreTrailingSlash: false,
  ignoreDuplicateSlashes: false,
  caseSensitive: true,
  // Longer than any target may be: a name that is too long is refused for what it is, not as an unknown path.
  maxParamLength: 65_536
})

/** Puts each change of the TLS files into the running server: handshakes from then on use it, connections stay. */
const followTls = (server: HttpsServer, created: TlsMaterial) =>
  Effect.flatMap(ServerTls, ({ changes }) =>
    changes.pipe(
      Stream.filter((material) => material !== created),
      Stream.runForEach((material) =>
        Effect.catchCause(
          Effect.sync(() => server.setSecureContext(contextOptions(material))),
          (cause) => Effect.logError("Changed TLS files could not be put to use; those before stay in use", cause)
        )
      ),
      Effect.forkScoped
    )
  )

/** Serves the API over HTTPS for as long as its scope is open; gives the `HttpServer`, which knows its address. */
export const layer = (settings: ServerSettings) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const tls = (yield* ServerTls).current()
      const identities = yield* ClientIdentity
      const observer = yield* RequestObserver
      const { server, connections } = yield* makeHttps(tls, settings)
      const clock = yield* Clock.Clock
      server.on("secureConnection", (socket) => identities.connected(socket, clock.currentTimeMillisUnsafe()))
      return Layer.effectDiscard(
        Effect.gen(function* () {
          yield* followTls(server, tls)
          const isObserved = observer !== unobserved
          const isWatcher = settings.role === "watcher"
          const router = isWatcher
            ? yield* HttpRouter.toHttpEffect(watcherRoutes(settings, isObserved))
            : yield* HttpRouter.toHttpEffect(routes(settings, isObserved))
          const app = yield* App.make(router, settings)
          yield* HttpServer.serveEffect(app)
          if (!isWatcher && !(yield* RequestTracing)) yield* ReadPath.inFront(server, settings)
          connections.guardRequests()
          yield* Effect.addFinalizer(() =>
            Effect.sync(() => connections.endIdle(Duration.toMillis(settings.shutdownTimeout)))
          )
        })
      ).pipe(
        Layer.provide(exactPaths),
        Layer.provideMerge(
          NodeHttpServer.layer(() => server, {
            host: settings.host,
            port: settings.port,
            backlog: 1024,
            gracefulShutdownTimeout: settings.shutdownTimeout
          })
        )
      )
    })
  )
