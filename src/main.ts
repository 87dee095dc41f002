/**
 * The composition root: reads the settings, picks the layers, runs until a signal or a defect, and shuts down in order.
 */
import { Cause, Console, Context, Effect, Exit, type FileSystem, Layer, type Path, Runtime } from "effect"
import { HttpServer } from "effect/http"
import { NetAddress } from "effect/net"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { randomBytes } from "node:crypto"
import { resolve } from "node:path"
import packageJson from "../package.json" with { type: "json" }
import * as Examples from "./server/CurlExamples.ts"
import { cannotListen } from "./server/CannotListen.ts"
import * as Cluster from "./Cluster.ts"
import * as Config from "./settings/Settings.ts"
import * as Observability from "./observability/Observability.ts"
import { Lifecycle } from "./http/Lifecycle.ts"
import * as MetricsServer from "./server/MetricsServer.ts"
import * as Server from "./server/Server.ts"
import { ClusterCache } from "./cache/ClusterCache.ts"
import type { AccessReviewer } from "./model/AccessReviewer.ts"
import type { SettingError } from "./settings/SettingError.ts"
import { demoAccess } from "./embedded/DemoAccess.ts"
import { EmbeddedKube } from "./embedded/EmbeddedKube.ts"
import { demoSeed } from "./embedded/Seed.ts"
import { KubeConfig } from "./kube/KubeConfig.ts"
import * as Logging from "./observability/Logging.ts"
import * as ProcessMetrics from "./observability/ProcessMetrics.ts"
import { Audit } from "./observability/Audit.ts"
import type { Authorization } from "./authorization/Authorization.ts"
import * as CertificateExpiry from "./identity/CertificateExpiry.ts"
import * as ClusterAuthorization from "./authorization/ClusterAuthorization.ts"
import { ClientIdentity } from "./identity/Identity.ts"
import * as PolicyAuthorization from "./authorization/PolicyAuthorization.ts"
import { RateLimit } from "./limits/RateLimit.ts"
import { ServerTls } from "./identity/ServerTls.ts"
import * as Tls from "./identity/Tls.ts"

/** Where the cluster is. The demo cluster is reached over its socket like any other, with a token made for this run. */
const kubeConfig = (settings: Config.Settings) => {
  if (settings.kubeSource !== "embedded") {
    return KubeConfig.layer({
      source: settings.kubeSource,
      ...(settings.kubeconfig === undefined ? {} : { kubeconfigPath: settings.kubeconfig }),
      ...(settings.kubeContext === undefined ? {} : { context: settings.kubeContext })
    })
  }
  const token = randomBytes(16).toString("hex")
  return Layer.unwrap(Effect.map(EmbeddedKube, ({ url }) => KubeConfig.layerEndpoint({ url, token }))).pipe(
    Layer.provide(EmbeddedKube.layer({ seed: demoSeed, tokens: [token], decideAccess: demoAccess }))
  )
}

/** How the cluster is followed: by this instance, or by one that tells it through Redis. */
const cluster = (settings: Config.Settings) => {
  const { kubeNamespaces: namespaces, redisUrl: url } = settings
  const options = { auditEvents: settings.auditEvents, namespaces }
  return url === undefined
    ? Cluster.layerOptions(options)
    : Cluster.layerShared(options, settings.role, {
        url,
        caFile: settings.redisCaFile,
        keyPrefix: settings.redisKeyPrefix,
        lease: settings.watcherLease,
        namespaces
      })
}

/** What decides who may do what. */
const authorization = (
  settings: Config.Settings
): Layer.Layer<Authorization, SettingError, AccessReviewer | FileSystem.FileSystem | Path.Path> =>
  settings.policyFile === undefined
    ? ClusterAuthorization.layer(settings)
    : PolicyAuthorization.layer(settings.policyFile)

/** Once shutdown has begun a second signal ends the process at once. */
const exitOnNextSignal = Effect.sync(() => {
  const exit = () => process.exit(1)
  process.once("SIGTERM", exit)
  process.once("SIGINT", exit)
})

/** `/metrics` over plain HTTP; closed after the drain period, like the other port. */
const serveMetrics = Effect.fnUntraced(function* (host: string, port: number) {
  const services = yield* Layer.build(MetricsServer.layer(host, port)).pipe(
    Effect.catchTag("ServeError", (error) => Effect.fail(cannotListen("METRICS_PORT", host, port, error.cause)))
  )
  const { address } = Context.get(services, HttpServer.HttpServer)
  yield* Effect.logInfo("Serving metrics").pipe(
    Effect.annotateLogs({ host, metricsPort: NetAddress.isInetAddress(address) ? address.port : port })
  )
})

const serve = Effect.fnUntraced(function* (settings: Config.Settings) {
  const observability = yield* Layer.build(
    Observability.layer(settings, { stream: process.stdout, terminal: process.stdout.isTTY === true })
  )
  const services = yield* Layer.build(
    Server.layer(settings).pipe(
      Layer.provideMerge(
        Layer.mergeAll(
          Layer.provideMerge(
            Observability.authorization(settings, authorization(settings)),
            Layer.provide(cluster(settings), kubeConfig(settings))
          ),
          Layer.provideMerge(
            Layer.merge(ClientIdentity.layerTls, CertificateExpiry.layer(settings)),
            ServerTls.layer(settings)
          ),
          RateLimit.layer(settings),
          Audit.layerLog,
          Lifecycle.layer(settings.drainPeriod)
        )
      ),
      Layer.provide(Layer.succeedContext(observability))
    )
  ).pipe(
    Effect.catchTag("ServeError", (error) =>
      Effect.fail(cannotListen("PORT", settings.host, settings.port, error.cause))
    )
  )
  const lifecycle = Context.get(services, Lifecycle)
  const cache = Context.get(services, ClusterCache)
  if (settings.metricsPort !== undefined) yield* serveMetrics(settings.host, settings.metricsPort)
  // Registered last, so it runs first: the port closes only after the drain period.
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Effect.andThen(exitOnNextSignal, ProcessMetrics.shutdownBegun),
      Effect.andThen(Effect.logInfo("Shutting down"), lifecycle.beginShutdown)
    )
  )
  const { address } = Context.get(services, HttpServer.HttpServer)
  const port = NetAddress.isInetAddress(address) ? address.port : settings.port
  yield* Effect.logInfo("Serving").pipe(
    Effect.annotateLogs({
      version: packageJson.version,
      host: settings.host,
      port,
      source: settings.kubeSource,
      cache: settings.cache,
      role: settings.role,
      authorization: settings.authorization,
      certificateDaysLeft: Tls.daysLeft(Context.get(services, ServerTls).current().expiresAt, Date.now())
    })
  )
  yield* Effect.forkScoped(
    Effect.andThen(
      cache.awaitSynced,
      Effect.andThen(
        Effect.logInfo("Ready"),
        settings.examplesDir === undefined
          ? Effect.void
          : Console.log(Examples.text(`https://localhost:${port}`, resolve(settings.examplesDir)))
      )
    )
  )
  return yield* cache.failed
})

/** The last words: a setting's error is one line for a person, anything else comes with its cause. */
const reportFailure = (cause: Cause.Cause<unknown>) => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.logInfo("Stopped")
  const error = Cause.squash(cause)
  return error instanceof Error && "setting" in error
    ? Effect.logFatal(`Cannot start: ${error.message}`)
    : Effect.logFatal("The service failed", cause)
}

const reported = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.onExit(effect, (exit) => (Exit.isFailure(exit) ? reportFailure(exit.cause) : Effect.void))

const main = reported(Config.load).pipe(
  Effect.flatMap((settings) =>
    reported(Effect.scoped(serve(settings))).pipe(
      Effect.provide(Logging.layer(settings, process.stdout.isTTY === true))
    )
  ),
  Effect.provide(NodeServices.layer)
)

NodeRuntime.runMain(main, {
  disableErrorReporting: true,
  // An end that was asked for by a signal is no failure.
  teardown: (exit, onExit) =>
    Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? onExit(0) : Runtime.defaultTeardown(exit, onExit)
})
