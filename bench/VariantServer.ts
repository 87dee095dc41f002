/**
 * The service over the demo cluster with some of its parts, or without: `SECURED`, policy authorization and rate limits;
 * `OBSERVED`, metrics and request log. Both are `true` or `false`.
 */
import { Config, Effect, Layer } from "effect"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Authorization } from "../src/authorization/Authorization.ts"
import { RateLimit } from "../src/limits/RateLimit.ts"
import { Server } from "../src/server/Server.ts"
import * as Service from "../src/Service.ts"
import * as Settings from "../src/settings/Settings.ts"

const main = Effect.gen(function* () {
  const settings = yield* Settings.load
  const secured = yield* Config.Boolean("SECURED")
  const observed = yield* Config.Boolean("OBSERVED")
  const parts = Service.parts(settings, { stream: process.stdout, terminal: false })
  const variant = {
    ...parts,
    ...(secured ? {} : { authorization: Authorization.layerAllowAll, rateLimit: RateLimit.layerUnlimited }),
    ...(observed ? {} : { observability: Layer.empty })
  }
  const tellPort = Layer.effectDiscard(
    Effect.map(Server, ({ port }) => process.stdout.write(`${JSON.stringify({ port })}\n`))
  )
  return yield* Layer.launch(Layer.provide(tellPort, Service.layer(settings, variant)))
})

NodeRuntime.runMain(main.pipe(Effect.provide(NodeServices.layer)))
