/** A node:http server in place of the API server, for tests of the wire format. */
import { Effect, Layer, type Scope } from "effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import * as KubeApi from "../../src/kube/KubeApi.ts"
import * as KubeConfig from "../../src/kube/KubeConfig.ts"
import * as KubeHttp from "../../src/kube/KubeHttp.ts"

/** A received request. */
export interface Received {
  readonly method: string | undefined
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: IncomingMessage["headers"]
  readonly body: string
}

/** Listens on a free port. Succeeds with the URL, the port, and the received requests. */
export const serve = (
  answer: (request: Received, response: ServerResponse) => void
): Effect.Effect<
  { readonly url: string; readonly port: number; readonly received: Array<Received> },
  never,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const received: Array<Received> = []
    const server = yield* Effect.acquireRelease(
      Effect.sync(() =>
        createServer((request, response) => {
          const chunks: Array<Buffer> = []
          request.on("data", (chunk: Buffer) => chunks.push(chunk))
          request.on("end", () => {
            const url = new URL(request.url ?? "", "http://localhost")
            const one: Received = {
              method: request.method,
              path: url.pathname,
              query: Object.fromEntries(url.searchParams),
              headers: request.headers,
              body: Buffer.concat(chunks).toString()
            }
            received.push(one)
            answer(one, response)
          })
        })
      ),
      (server) =>
        Effect.sync(() => {
          server.closeAllConnections()
          server.close()
        })
    )
    const port = yield* Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address: AddressInfo | string | null = server.address()
        resume(Effect.succeed(address !== null && typeof address === "object" ? address.port : 0))
      })
    })
    return { url: `http://127.0.0.1:${port}`, port, received }
  })

/** The live KubeApi for a URL. */
export const kubeApi = (url: string, options: KubeApi.KubeApiOptions = {}) =>
  KubeApi.layerOptions(options).pipe(
    Layer.provide(KubeHttp.layer),
    Layer.provide(KubeConfig.layerEndpoint({ url, token: "secret" }))
  )

/** Responds with JSON. */
export const json = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) => {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body))
}
