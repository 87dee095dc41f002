import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Stream } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Authorization } from "../../src/authorization/Authorization.ts"
import { ClusterCache } from "../../src/cache/ClusterCache.ts"
import { DeploymentName, NamespaceName, ReplicaCount } from "../../src/contract/Names.ts"
import * as KubeConfig from "../../src/kube/KubeConfig.ts"
import * as KubeWatch from "../../src/kube/KubeWatch.ts"
import { DeploymentScaler } from "../../src/model/DeploymentScaler.ts"
import { ResourceVersion } from "../../src/model/ResourceVersion.ts"
import { Server } from "../../src/server/Server.ts"
import * as Service from "../../src/Service.ts"
import * as Settings from "../../src/settings/Settings.ts"
import { send } from "../support/Https.ts"
import { demoSettings } from "../support/Process.ts"

const namespace = NamespaceName.make("shop")
const name = DeploymentName.make("web")
const resourceVersion = ResourceVersion.make("1")

/** The cluster's events, as values. The stream of a real cluster never ends. */
const events = Stream.make(
  { _tag: "NamespacesReplaced", items: [{ name: namespace, resourceVersion }], resourceVersion } as const,
  {
    _tag: "DeploymentsReplaced",
    items: [{ namespace, name, replicas: ReplicaCount.make(2), resourceVersion }],
    resourceVersion
  } as const
).pipe(Stream.concat(Stream.never))

/** A scaler that accepts every count. */
const scaler = Layer.succeed(DeploymentScaler, {
  scale: (ref, replicas) =>
    Effect.succeed({ ...ref, replicas, resourceVersion: ResourceVersion.make("2"), uid: undefined })
})

/** The whole service without a cluster. */
const service = Layer.unwrap(
  Effect.map(Settings.load, (settings) =>
    Service.layer(settings, {
      ...Service.parts(settings, { stream: process.stdout, terminal: false }),
      kubeConfig: KubeConfig.layerEndpoint({ url: "http://127.0.0.1:1" }),
      watch: KubeWatch.layerEvents(events),
      scaler,
      authorization: Authorization.layerAllowAll
    })
  )
).pipe(
  Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: demoSettings }))),
  Layer.provide(NodeServices.layer)
)

it.live("a service over events and a scaler of the test's own", () =>
  Effect.gen(function* () {
    const { port } = yield* Server
    yield* Effect.flatMap(ClusterCache, ({ awaitSynced }) => awaitSynced)
    const path = "/namespaces/shop/deployments/web/replica_count"
    const written = yield* send(port, { client: "admin", method: "PUT", path: `${path}/5` })
    assert.strictEqual(written.status, 200)
    const read = yield* send(port, { client: "admin", path })
    assert.strictEqual(read.body, '{"namespace":"shop","deployment":"web","replica_count":5}')
  }).pipe(Effect.provide(service))
)
