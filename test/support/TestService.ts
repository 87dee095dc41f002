import { layer } from "@effect/vitest"
import { ConfigProvider, Context, Duration, Effect, Layer } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { PassThrough } from "node:stream"
import { Authorization } from "../../src/authorization/Authorization.ts"
import { ClusterCache } from "../../src/cache/ClusterCache.ts"
import { EmbeddedKube, type EmbeddedKubeOptions } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { Lifecycle } from "../../src/http/Lifecycle.ts"
import { ServerTls } from "../../src/identity/ServerTls.ts"
import * as KubeConfig from "../../src/kube/KubeConfig.ts"
import * as KubeWatch from "../../src/kube/KubeWatch.ts"
import { RateLimit, type RateLimitSettings } from "../../src/limits/RateLimit.ts"
import type { DeploymentScaler } from "../../src/model/DeploymentScaler.ts"
import { Audit, type AuditRecord } from "../../src/observability/Audit.ts"
import * as Server from "../../src/server/Server.ts"
import * as Service from "../../src/Service.ts"
import type { FileReloadOptions } from "../../src/settings/FileReload.ts"
import * as Settings from "../../src/settings/Settings.ts"
import { file } from "./Pki.ts"

/** What a test changes of the service: settings, by their names in the program, and parts. */
export interface Overrides extends Partial<Settings.Settings> {
  /** How changes of the TLS files are noticed. */
  readonly reload?: FileReloadOptions
  /** What of the cluster is watched, and how. */
  readonly watch?: KubeWatch.KubeWatchOptions
  /** How the service finds the embedded cluster at `url`; by default an endpoint and a token. */
  readonly kubeConfig?: (url: string) => Layer.Layer<KubeConfig.KubeConfig, KubeConfig.KubeConfigError>
  /** How the embedded cluster is made. */
  readonly kube?: EmbeddedKubeOptions
  /** The authorizer; by default identified callers may do everything. */
  readonly authorizer?: Service.Parts["authorization"]
  /** The budgets of clients; by default there is no limit. */
  readonly rateLimit?: RateLimitSettings
  /** Where the audit records go. */
  readonly auditRecords?: Array<AuditRecord>
  /** HTTP middleware around every route. */
  readonly middleware?: Service.Parts["middleware"]
  /** Replaces the scaler that writes to the cluster. */
  readonly scaler?: Layer.Layer<DeploymentScaler>
  /** Runs before the service starts; the test then does not wait for the first sync. */
  readonly unsynced?: Effect.Effect<void, never, EmbeddedKube>
}

/** The program's settings, as an environment with the test certificates gives them. */
const testSettings = Effect.provideService(
  Settings.load,
  ConfigProvider.ConfigProvider,
  ConfigProvider.fromEnv({
    env: {
      HOST: "127.0.0.1",
      PORT: "0",
      MAX_CONNECTIONS_PER_ADDRESS: "2048",
      DRAIN_PERIOD: "0s",
      TLS_CERT_FILE: file("server.crt"),
      TLS_KEY_FILE: file("server.key"),
      TLS_CLIENT_CA_FILE: file("ca.crt")
    }
  })
)

/** The parts of the service over the embedded cluster at `url`, with those that a test replaces. */
const parts = (settings: Settings.Settings, overrides: Overrides, url: string): Service.Parts => {
  const made = Service.parts(settings, { stream: new PassThrough().resume(), terminal: false })
  return {
    ...made,
    kubeConfig: overrides.kubeConfig?.(url) ?? KubeConfig.layerEndpoint({ url, token: "test" }),
    watch: KubeWatch.layerOptions({ namespaces: settings.kubeNamespaces, ...overrides.watch }),
    scaler: overrides.scaler ?? made.scaler,
    tls: ServerTls.layer(settings, overrides.reload),
    authorization: overrides.authorizer ?? Authorization.layerAllowAll,
    rateLimit: overrides.rateLimit === undefined ? RateLimit.layerUnlimited : RateLimit.layer(overrides.rateLimit),
    audit: Audit.layerMemory(overrides.auditRecords ?? []),
    // A test that observes provides its own observers.
    observability: Layer.empty,
    middleware: overrides.middleware ?? made.middleware
  }
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
        const settings = {
          ...(yield* Effect.orDie(testSettings)),
          shutdownTimeout: Duration.seconds(5),
          kubeNamespaces: overrides.watch?.namespaces,
          ...overrides
        }
        const services = yield* Layer.build(Service.layer(settings, parts(settings, overrides, url)))
        const cache = Context.get(services, ClusterCache)
        if (overrides.unsynced === undefined) yield* cache.awaitSynced
        return {
          port: Context.get(services, Server.Server).port,
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
