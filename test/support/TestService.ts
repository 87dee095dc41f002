import { layer } from "@effect/vitest"
import { Context, Duration, Effect, type FileSystem, Layer, type Path } from "effect"
import { HttpServer } from "effect/http"
import { NetAddress } from "effect/net"
import { NodeServices } from "@effect/platform-node"
import * as Cluster from "../../src/Cluster.ts"
import { Lifecycle } from "../../src/http/Lifecycle.ts"
import * as Server from "../../src/server/Server.ts"
import { ClusterCache } from "../../src/cache/ClusterCache.ts"
import type { AccessReviewer } from "../../src/model/AccessReviewer.ts"
import type { DeploymentScaler } from "../../src/model/DeploymentScaler.ts"
import type { SettingError } from "../../src/settings/SettingError.ts"
import { EmbeddedKube, type EmbeddedKubeOptions } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { KubeConfig, type KubeConfigError } from "../../src/kube/KubeConfig.ts"
import type { KubeWatchOptions } from "../../src/kube/KubeWatch.ts"
import { Audit, type AuditRecord } from "../../src/observability/Audit.ts"
import { Authorization } from "../../src/authorization/Authorization.ts"
import type { FileReloadOptions } from "../../src/settings/FileReload.ts"
import { ClientIdentity } from "../../src/identity/Identity.ts"
import { RateLimit, type RateLimitSettings } from "../../src/limits/RateLimit.ts"
import { ServerTls } from "../../src/identity/ServerTls.ts"
import type { TlsSettings } from "../../src/identity/Tls.ts"
import { file } from "./Pki.ts"

/** What a test changes of the settings. */
export interface Overrides extends Partial<Server.ServerSettings>, Partial<TlsSettings> {
  /** How changes of the TLS files are noticed, where not by default. */
  readonly reload?: FileReloadOptions
  /** What of the cluster is watched, and how; all of it by default. */
  readonly watch?: KubeWatchOptions
  /** How the service finds the embedded cluster at `url`; by an endpoint and a token by default. */
  readonly kubeConfig?: (url: string) => Layer.Layer<KubeConfig, KubeConfigError>
  /** How the embedded cluster is made, where not by default. */
  readonly kube?: EmbeddedKubeOptions
  /** Who may do what; everybody who is identified may do everything, where a test does not say. */
  readonly authorization?: Layer.Layer<Authorization, SettingError, AccessReviewer | FileSystem.FileSystem | Path.Path>
  /** How much each client may ask; without limit, where a test does not say. */
  readonly rateLimit?: RateLimitSettings
  /** Where the audit records go. */
  readonly auditRecords?: Array<AuditRecord>
  /** Whether accepted writes are recorded as Events. */
  readonly auditEvents?: boolean
  /** Takes the place of the scaler that writes to the cluster. */
  readonly scaler?: Layer.Layer<DeploymentScaler>
  /** Runs before the service starts; it is then not waited for until it has synced. */
  readonly unsynced?: Effect.Effect<void, never, EmbeddedKube>
}

const defaults: Server.ServerSettings = {
  host: "127.0.0.1",
  port: 0,
  maxTargetBytes: 2048,
  maxHeaderBytes: 8192,
  maxBodyBytes: 4096,
  maxConnections: 2048,
  maxConnectionsPerAddress: 2048,
  maxPipelinedRequests: 16,
  maxInFlight: 1024,
  maxClusterWrites: 64,
  maxQueuedWrites: 256,
  readyMaxStaleness: undefined,
  tlsHandshakeTimeout: Duration.seconds(5),
  headersTimeout: Duration.seconds(10),
  requestTimeout: Duration.seconds(15),
  responseTimeout: Duration.seconds(30),
  keepAliveTimeout: Duration.seconds(65),
  shutdownTimeout: Duration.seconds(5)
}

const tlsDefaults: TlsSettings = {
  tlsCertFile: file("server.crt"),
  tlsKeyFile: file("server.key"),
  tlsClientCaFile: file("ca.crt"),
  tlsCrlFile: undefined,
  tlsClientAuth: "optional",
  tlsCiphers: "TLS_AES_128_GCM_SHA256"
}

/** The whole service on a free port, over an embedded cluster that the test can change and break. */
export class TestService extends Context.Service<
  TestService,
  {
    readonly port: number
    readonly cache: ClusterCache["Service"]
    readonly lifecycle: Lifecycle["Service"]
    readonly tls: ServerTls["Service"]
  }
>()("test/TestService") {
  static readonly layer = (overrides: Overrides = {}) =>
    Layer.effect(
      TestService,
      Effect.gen(function* () {
        const { url } = yield* EmbeddedKube
        if (overrides.unsynced !== undefined) yield* overrides.unsynced
        const services = yield* Layer.build(
          Server.layer({ ...defaults, ...overrides }).pipe(
            Layer.provideMerge(
              Layer.mergeAll(
                Layer.provideMerge(
                  overrides.authorization ?? Authorization.layerAllowAll,
                  Layer.provide(
                    Cluster.layerOptions({ auditEvents: overrides.auditEvents, ...overrides.watch }),
                    overrides.kubeConfig?.(url) ?? KubeConfig.layerEndpoint({ url, token: "test" })
                  )
                ),
                Layer.provideMerge(
                  ClientIdentity.layerTls,
                  ServerTls.layer({ ...tlsDefaults, ...overrides }, overrides.reload)
                ),
                Lifecycle.layer(Duration.zero),
                overrides.rateLimit === undefined ? RateLimit.layerUnlimited : RateLimit.layer(overrides.rateLimit),
                Audit.layerMemory(overrides.auditRecords ?? []),
                overrides.scaler ?? Layer.empty
              )
            )
          )
        )
        const { address } = Context.get(services, HttpServer.HttpServer)
        const cache = Context.get(services, ClusterCache)
        if (overrides.unsynced === undefined) yield* cache.awaitSynced
        return {
          port: NetAddress.isInetAddress(address) ? address.port : 0,
          cache,
          lifecycle: Context.get(services, Lifecycle),
          tls: Context.get(services, ServerTls)
        }
      })
    ).pipe(
      Layer.provideMerge(EmbeddedKube.layer({ seed: demoSeed, tokens: ["test"], ...overrides.kube })),
      Layer.provide(NodeServices.layer)
    )
}

/** Runs tests, on real time and real sockets, over a service that they share. */
export const withService = (overrides: Overrides = {}) =>
  layer(TestService.layer(overrides), { excludeTestServices: true })
