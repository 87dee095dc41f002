/** Serves the GET of one replica count with `HttpRouter` of Effect 3 and the TLS settings of the other servers. */
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Effect, Layer } from "effect"
import { readFileSync } from "node:fs"
import { createServer } from "node:https"

const replicaCount = Effect.map(HttpRouter.params, ({ deployment, namespace }) =>
  HttpServerResponse.unsafeJson({ namespace, deployment, replica_count: 12 })
)

const router = HttpRouter.empty.pipe(
  HttpRouter.get("/namespaces/:namespace/deployments/:deployment/replica_count", replicaCount)
)

const main = Effect.gen(function* () {
  const [cert, key, ca] = yield* Effect.forEach(["TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE"], (name) =>
    Effect.map(Config.string(name), (file) => readFileSync(file))
  )
  const options = { cert, key, ca, ciphers: "TLS_AES_128_GCM_SHA256", minVersion: "TLSv1.3" }
  const https = () => createServer({ ...options, requestCert: true, rejectUnauthorized: false })
  const tellPort = Layer.effectDiscard(
    HttpServer.addressWith((address) =>
      Effect.sync(() => process.stdout.write(`${JSON.stringify({ port: address.port })}\n`))
    )
  )
  return yield* Layer.launch(
    Layer.merge(tellPort, HttpServer.serve(router)).pipe(
      Layer.provide(NodeHttpServer.layer(https, { host: "127.0.0.1", port: 0 }))
    )
  )
})

NodeRuntime.runMain(main)
