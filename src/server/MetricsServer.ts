import { Context, Effect, Layer } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { NetAddress } from "effect/net"
import { createServer } from "node:http"
import { metricsPath } from "../contract/Api.ts"
import { metricsPage } from "../http/ServiceHandlers.ts"
import { logAcceptErrors } from "./Acceptor.ts"

/** More than scrapers need. Bounds the connections that other clients of the port can hold. */
const maxConnections = 100

/** The port of the metrics server. */
export class MetricsServer extends Context.Service<MetricsServer, { readonly port: number }>()(
  "kube-resource-api/server/MetricsServer"
) {}

const makeServer = () => {
  const server = createServer({
    headersTimeout: 5000,
    requestTimeout: 5000,
    keepAliveTimeout: 65_000,
    maxHeaderSize: 8192
  })
  server.maxConnections = maxConnections
  return server
}

/** Serves `/metrics`, and nothing else, over plain HTTP. Fails with a `ServeError` if it cannot listen. */
export const layer = (host: string, port: number) =>
  Layer.effect(
    MetricsServer,
    Effect.gen(function* () {
      const server = makeServer()
      const served = HttpRouter.serve(HttpRouter.add("GET", metricsPath, metricsPage), {
        disableLogger: true,
        disableListenLog: true
      }).pipe(Layer.provideMerge(NodeHttpServer.layer(() => server, { host, port, gracefulShutdownTimeout: 1000 })))
      const { address } = Context.get(yield* Layer.build(served), HttpServer.HttpServer)
      yield* logAcceptErrors(server)
      return { port: NetAddress.isInetAddress(address) ? address.port : port }
    })
  )
