/**
 * The whole service as one layer, made of named parts. The program launches it; tests and benchmarks launch the same one
 * with parts replaced.
 */
import { Console, Effect, type FileSystem, Layer, type Path } from "effect"
import { resolve } from "node:path"
import packageJson from "../package.json" with { type: "json" }
import type { Authorization } from "./authorization/Authorization.ts"
import * as ClusterAuthorization from "./authorization/ClusterAuthorization.ts"
import * as PolicyAuthorization from "./authorization/PolicyAuthorization.ts"
import { ClusterCache } from "./cache/ClusterCache.ts"
import type { ListenFailed } from "./embedded/EmbeddedKube.ts"
import { Lifecycle } from "./http/Lifecycle.ts"
import * as CertificateExpiry from "./identity/CertificateExpiry.ts"
import { ClientIdentity } from "./identity/Identity.ts"
import { ServerTls } from "./identity/ServerTls.ts"
import * as Tls from "./identity/Tls.ts"
import * as InformerObserver from "./kube/InformerObserver.ts"
import * as KubeAccessReviewer from "./kube/KubeAccessReviewer.ts"
import * as KubeApi from "./kube/KubeApi.ts"
import * as KubeClusterIdentity from "./kube/KubeClusterIdentity.ts"
import * as KubeConfig from "./kube/KubeConfig.ts"
import * as KubeEventRecorder from "./kube/KubeEventRecorder.ts"
import * as KubeHttp from "./kube/KubeHttp.ts"
import * as KubeScaler from "./kube/KubeScaler.ts"
import * as KubeWatch from "./kube/KubeWatch.ts"
import { RateLimit } from "./limits/RateLimit.ts"
import type { AccessReviewer } from "./model/AccessReviewer.ts"
import type { DeploymentScaler } from "./model/DeploymentScaler.ts"
import * as EventRecorder from "./model/EventRecorder.ts"
import type { Audit } from "./observability/Audit.ts"
import * as AuditLog from "./observability/AuditLog.ts"
import * as CacheMetrics from "./observability/CacheMetrics.ts"
import * as Observability from "./observability/Observability.ts"
import * as ProcessMetrics from "./observability/ProcessMetrics.ts"
import { cannotListen } from "./server/CannotListen.ts"
import * as CurlExamples from "./server/CurlExamples.ts"
import * as MetricsServer from "./server/MetricsServer.ts"
import * as Server from "./server/Server.ts"
import type { SettingError } from "./settings/SettingError.ts"
import type { Settings } from "./settings/Settings.ts"
import type { RedisAddress } from "./shared/redis/RedisSession.ts"

type Platform = FileSystem.FileSystem | Path.Path

/** The address of the cluster. The module of the embedded cluster is loaded only for `KUBE_SOURCE=embedded`. */
const kubeConfig = ({
  embeddedSeed,
  kubeconfig,
  kubeContext,
  kubeSource
}: Settings): Layer.Layer<KubeConfig.KubeConfig, StartError, Platform> =>
  kubeSource === "embedded"
    ? Layer.unwrap(
        Effect.map(
          Effect.promise(() => import("./embedded/DemoCluster.ts")),
          ({ layer }) => layer(embeddedSeed)
        )
      )
    : KubeConfig.layer({
        source: kubeSource,
        ...(kubeconfig === undefined ? {} : { kubeconfigPath: kubeconfig }),
        ...(kubeContext === undefined ? {} : { context: kubeContext })
      })

/** The cache of an instance that watches the cluster itself. */
const watched = (namespaces: Settings["kubeNamespaces"]) =>
  Layer.unwrap(Effect.map(KubeWatch.KubeWatch, ({ events }) => ClusterCache.layer(events, namespaces)))

/** Does not time events from informer to cache: with a shared cache they reach it through Redis, in other batches. */
const untimed = Layer.effect(
  InformerObserver.InformerObserver,
  Effect.map(InformerObserver.InformerObserver, (observer) => ({ ...observer, emitting: () => {} }))
)

/** The Redis server, by its URL or through Sentinels; undefined without a shared cache. */
const redisAddress = (settings: Settings): RedisAddress | undefined => {
  const { redisSentinelName: name, redisSentinels: sentinels, redisUrl: url } = settings
  if (url !== undefined) return { _tag: "Url", url }
  if (sentinels === undefined || name === undefined) return undefined
  return {
    _tag: "Sentinels",
    sentinels,
    name,
    tls: settings.redisTls,
    username: settings.redisUsername,
    password: settings.redisPassword,
    sentinelUsername: settings.redisSentinelUsername,
    sentinelPassword: settings.redisSentinelPassword
  }
}

/**
 * The cache of an instance that shares one watch of the cluster through Redis. The Redis client is loaded only here.
 */
const shared = (settings: Settings, server: RedisAddress) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const SharedCache = yield* Effect.promise(() => import("./shared/SharedCache.ts"))
      const {
        kubeNamespaces: namespaces,
        redisCaFile: caFile,
        redisKeyPrefix: keyPrefix,
        watcherLease: lease
      } = settings
      const options = { server, caFile, keyPrefix, lease, namespaces }
      yield* SharedCache.checkServer(options)
      return settings.role === "server"
        ? ClusterCache.layer(SharedCache.events(options), namespaces)
        : Layer.unwrap(
            Effect.map(KubeWatch.KubeWatch, ({ events }) =>
              ClusterCache.layer(SharedCache.eventsOf(options, events), namespaces)
            )
          ).pipe(Layer.provide(untimed))
    })
    // A Role cannot grant access to the namespace `kube-system`.
  ).pipe(Layer.provide(KubeClusterIdentity.layer({ readsUid: settings.kubeNamespaces === undefined })))

/** The errors that keep the service from starting. */
export type StartError = SettingError | KubeConfig.KubeConfigError | ListenFailed

/** The parts of the service. */
export interface Parts {
  /** Address and credentials of the cluster. */
  readonly kubeConfig: Layer.Layer<KubeConfig.KubeConfig, StartError, Platform>
  /** The cluster's events. */
  readonly watch: Layer.Layer<KubeWatch.KubeWatch, never, KubeApi.KubeApi>
  /** Writes to the cluster. */
  readonly scaler: Layer.Layer<DeploymentScaler, never, KubeApi.KubeApi>
  /** Events of accepted writes. */
  readonly recorder: Layer.Layer<EventRecorder.EventRecorder, never, KubeApi.KubeApi>
  /** The server's certificate, and its trust in client certificates. */
  readonly tls: Layer.Layer<ServerTls, SettingError, Platform>
  /** The authorizer. */
  readonly authorization: Layer.Layer<Authorization, SettingError, AccessReviewer | Platform>
  /** The rate limits of clients. */
  readonly rateLimit: Layer.Layer<RateLimit>
  /** The audit log of writes. */
  readonly audit: Layer.Layer<Audit>
  /** Log, metrics and traces. */
  readonly observability: Layer.Layer<never>
  /** HTTP middleware around the application. The read path bypasses it. */
  readonly middleware: Server.Middleware
}

/** The parts that the settings select. `output`: the destination of the request log. */
export const parts = (settings: Settings, output: Observability.Output): Parts => ({
  kubeConfig: kubeConfig(settings),
  watch: KubeWatch.layerOptions({
    namespaces: settings.kubeNamespaces,
    relistInterval: settings.kubeRelistInterval
  }),
  scaler:
    settings.kubeNamespaces === undefined ? KubeScaler.layer : KubeScaler.layerNamespaces(settings.kubeNamespaces),
  recorder: settings.auditEvents ? KubeEventRecorder.layer : EventRecorder.layerNone,
  tls: ServerTls.layer(settings),
  authorization:
    settings.policyFile === undefined
      ? ClusterAuthorization.layer(settings)
      : PolicyAuthorization.layer(settings.policyFile),
  rateLimit: RateLimit.layer(settings),
  audit: AuditLog.layer(output.stream),
  observability: Observability.layer(settings, output),
  middleware: (application) => application
})

/** Cluster → informers → cache, and the way back for writes and access reviews. */
const cluster = (settings: Settings, { kubeConfig, recorder, scaler, watch }: Parts) => {
  const redis = redisAddress(settings)
  return CacheMetrics.layerGauges.pipe(
    Layer.provideMerge(redis === undefined ? watched(settings.kubeNamespaces) : shared(settings, redis)),
    Layer.provide(watch),
    Layer.merge(Layer.mergeAll(scaler, recorder, KubeAccessReviewer.layer)),
    Layer.provide(KubeApi.layerOptions({ contentType: settings.kubeContentType })),
    Layer.provide(KubeHttp.layer),
    Layer.provide(kubeConfig)
  )
}

/** The service. It serves from the moment the layer is built until its scope closes. */
export const layer = (settings: Settings, made: Parts) =>
  Server.layer(settings, made.middleware).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        Layer.provideMerge(Observability.authorization(settings, made.authorization), cluster(settings, made)),
        Layer.provideMerge(Layer.merge(ClientIdentity.layerTls, CertificateExpiry.layer(settings)), made.tls),
        made.rateLimit,
        made.audit,
        Lifecycle.layer(settings.drainPeriod)
      )
    ),
    Layer.provide(made.observability),
    Layer.catchTag("ListenError", ({ cause }) =>
      Layer.effectContext(Effect.fail(cannotListen("PORT", settings.host, settings.port, cause)))
    )
  )

/** Once shutdown has begun, the next signal ends the process at once. */
const exitOnNextSignal = Effect.sync(() => {
  const exit = () => process.exit(1)
  process.once("SIGTERM", exit)
  process.once("SIGINT", exit)
})

/** Begins the shutdown before the layers of the service close: the port stays open for the drain period. */
const drainAtEnd = Effect.flatMap(Lifecycle, ({ beginShutdown }) =>
  Effect.addFinalizer(() =>
    Effect.all([exitOnNextSignal, ProcessMetrics.shutdownBegun, Effect.logInfo("Shutting down"), beginShutdown], {
      discard: true
    })
  )
)

const metricsServer = ({ host, metricsPort }: Settings) =>
  metricsPort === undefined
    ? Layer.empty
    : Layer.effectDiscard(
        Effect.flatMap(MetricsServer.MetricsServer, ({ port }) =>
          Effect.logInfo("Serving metrics").pipe(Effect.annotateLogs({ host, metricsPort: port }))
        )
      ).pipe(
        Layer.provide(MetricsServer.layer(host, metricsPort)),
        Layer.catchTag("ServeError", ({ cause }) =>
          Layer.effectContext(Effect.fail(cannotListen("METRICS_PORT", host, metricsPort, cause)))
        )
      )

/** Logs that the service serves, and later that it is ready. Then waits for a defect to end it. */
const running = Effect.fnUntraced(function* (settings: Settings) {
  const { port } = yield* Server.Server
  const { awaitSynced, failed } = yield* ClusterCache
  const { current } = yield* ServerTls
  yield* drainAtEnd
  yield* Effect.logInfo("Serving").pipe(
    Effect.annotateLogs({
      version: packageJson.version,
      host: settings.host,
      port,
      source: settings.kubeSource,
      cache: settings.cache,
      role: settings.role,
      authorization: settings.authorization,
      certificateDaysLeft: Tls.daysLeft(current().expiresAt, Date.now())
    })
  )
  const examples =
    settings.examplesDir === undefined
      ? Effect.void
      : Console.log(CurlExamples.text(`https://localhost:${port}`, resolve(settings.examplesDir)))
  yield* Effect.forkScoped(Effect.andThen(awaitSynced, Effect.andThen(Effect.logInfo("Ready"), examples)))
  return yield* failed
}, Effect.scoped)

/** Runs the service until it is interrupted, or until a defect ends it. */
export const run = (settings: Settings, output: Observability.Output) => {
  const service = layer(settings, parts(settings, output))
  return running(settings).pipe(Effect.provide(Layer.provideMerge(metricsServer(settings), service)))
}
