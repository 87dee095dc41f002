/**
 * Serves only the GET of one replica count, with the service's TLS settings and the `FRAMEWORK` `HttpRouter` or `HttpApi`.
 * The latter decodes parameters and encodes responses by schemas.
 */
import { Config, Effect, Layer, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { NetAddress } from "effect/net"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { createServer } from "node:https"
import { DeploymentName, NamespaceName } from "../src/contract/Names.ts"
import { serviceTls } from "./ServiceTls.ts"

const path = "/namespaces/:namespace/deployments/:deployment/replica_count"

const routed = HttpRouter.add(
  "GET",
  path,
  Effect.map(HttpRouter.params, ({ deployment, namespace }) =>
    HttpServerResponse.jsonUnsafe({ namespace, deployment, replica_count: 12 })
  )
)

const Api = HttpApi.make("Bench").add(
  HttpApiGroup.make("resources").add(
    HttpApiEndpoint.get("replicaCount", path, {
      params: { namespace: NamespaceName, deployment: DeploymentName },
      success: Schema.Struct({ namespace: NamespaceName, deployment: DeploymentName, replica_count: Schema.Int })
    })
  )
)

const described = HttpApiBuilder.layer(Api).pipe(
  Layer.provide(
    HttpApiBuilder.group(Api, "resources", (handlers) =>
      handlers.handle("replicaCount", ({ params }) => Effect.succeed({ ...params, replica_count: 12 }))
    )
  )
)

const tellPort = Layer.effectDiscard(
  Effect.map(HttpServer.HttpServer, ({ address }) =>
    process.stdout.write(`${JSON.stringify({ port: NetAddress.isInetAddress(address) ? address.port : 0 })}\n`)
  )
)

const https = () => createServer(serviceTls())

const quiet = { disableLogger: true, disableListenLog: true }

const main = Effect.gen(function* () {
  const framework = yield* Config.Literals(["HttpRouter", "HttpApi"], "FRAMEWORK")
  return yield* Layer.launch(
    Layer.merge(tellPort, HttpRouter.serve(framework === "HttpApi" ? described : routed, quiet)).pipe(
      Layer.provide(NodeHttpServer.layer(https, { host: "127.0.0.1", port: 0 }))
    )
  )
})

NodeRuntime.runMain(main)
