import { Effect, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { NodeHttpServer } from "@effect/platform-node"
import { createServer } from "node:http"
import * as AcceptErrors from "./AcceptErrors.ts"
import { metricsPage } from "../http/MetricsHandlers.ts"

/** More than any number of scrapers: whoever reaches the port must not hold connections without end. */
const maxConnections = 100

/**
 * Serves `/metrics`, and nothing else, over plain HTTP to whoever can reach the port. It fails with a `ServeError` where
 * the port cannot be listened on. The layer gives the `HttpServer`, which knows its address.
 */
export const layer = (host: string, port: number) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const server = createServer({
        headersTimeout: 5000,
        requestTimeout: 5000,
        keepAliveTimeout: 65_000,
        maxHeaderSize: 8192
      })
      server.maxConnections = maxConnections
      yield* AcceptErrors.logged(server)
      return HttpRouter.serve(HttpRouter.add("GET", "/metrics", metricsPage), {
        disableLogger: true,
        disableListenLog: true
      }).pipe(Layer.provideMerge(NodeHttpServer.layer(() => server, { host, port, gracefulShutdownTimeout: 1000 })))
    })
  )
