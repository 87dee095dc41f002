/**
 * The service over the demo cluster with some of its parts, or without: `SECURED`, policy authorization and rate limits;
 * `OBSERVED`, metrics and request log. Both are `true` or `false`.
 */
import { Config, Context, Duration, Effect, Layer } from "effect"
import { HttpServer } from "effect/http"
import { NetAddress } from "effect/net"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import * as Cluster from "../src/Cluster.ts"
import * as Settings from "../src/settings/Settings.ts"
import * as Observability from "../src/observability/Observability.ts"
import { Lifecycle } from "../src/http/Lifecycle.ts"
import * as Server from "../src/server/Server.ts"
import { EmbeddedKube } from "../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../src/embedded/Seed.ts"
import { KubeConfig } from "../src/kube/KubeConfig.ts"
import { Audit } from "../src/observability/Audit.ts"
import { Authorization } from "../src/authorization/Authorization.ts"
import { ClientIdentity } from "../src/identity/Identity.ts"
import * as PolicyAuthorization from "../src/authorization/PolicyAuthorization.ts"
import { RateLimit } from "../src/limits/RateLimit.ts"
import { ServerTls } from "../src/identity/ServerTls.ts"

const cluster = Layer.unwrap(Effect.map(EmbeddedKube, ({ url }) => KubeConfig.layerEndpoint({ url }))).pipe(
  Layer.provide(EmbeddedKube.layer({ seed: demoSeed }))
)

const main = Effect.gen(function* () {
  const settings = yield* Settings.load
  const secured = yield* Config.Boolean("SECURED")
  const observed = yield* Config.Boolean("OBSERVED")
  const authorization = secured ? PolicyAuthorization.layer(settings.policyFile ?? "") : Authorization.layerAllowAll
  const services = yield* Layer.build(
    Server.layer(settings).pipe(
      Layer.provideMerge(
        Layer.mergeAll(
          Layer.provide(Cluster.layerOptions({}), cluster),
          Layer.provideMerge(ClientIdentity.layerTls, ServerTls.layer(settings)),
          observed ? Observability.authorization(settings, authorization) : authorization,
          secured ? RateLimit.layer(settings) : RateLimit.layerUnlimited,
          Audit.layerLog,
          Lifecycle.layer(Duration.zero)
        )
      ),
      Layer.provide(observed ? Observability.layer(settings, { stream: process.stdout, terminal: false }) : Layer.empty)
    )
  )
  const { address } = Context.get(services, HttpServer.HttpServer)
  process.stdout.write(`${JSON.stringify({ port: NetAddress.isInetAddress(address) ? address.port : 0 })}\n`)
  return yield* Effect.never
})

NodeRuntime.runMain(Effect.scoped(main).pipe(Effect.provide(NodeServices.layer)))
