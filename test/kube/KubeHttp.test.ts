import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Ref } from "effect"
import { createServer } from "node:net"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import * as KubeApi from "../../src/kube/KubeApi.ts"
import * as KubeConfig from "../../src/kube/KubeConfig.ts"
import * as KubeHttp from "../../src/kube/KubeHttp.ts"
import { namespaces } from "../../src/kube/wire/ResourceKind.ts"
import { pem } from "../support/Pki.ts"
import { kubeApi, serve } from "./HttpCluster.ts"

const list = Effect.flatMap(KubeApi.KubeApi, (api) => api.listPage(namespaces, {}))

const certificate = (name: string): KubeConfig.RequestCredentials => ({
  headers: {},
  tls: { ca: pem("ca.crt"), cert: pem(`${name}.crt`), key: pem(`${name}.key`), rejectUnauthorized: true }
})

/**
 * Requests to a cluster that requires a client certificate or the token "good", with each of the credentials in turn.
 */
const asking = Effect.fnUntraced(function* (turns: ReadonlyArray<KubeConfig.RequestCredentials>) {
  const { url } = yield* EmbeddedKube
  const turn = yield* Ref.make(0)
  const config = Layer.succeed(KubeConfig.KubeConfig, {
    server: url,
    authority: Effect.undefined,
    authorize: Effect.flatMap(
      Ref.getAndUpdate(turn, (at) => at + 1),
      (at) => Effect.fromNullishOr(turns[at])
    ).pipe(Effect.orDie)
  })
  return yield* Effect.forEach(turns, () =>
    Effect.match(list, {
      onSuccess: () => "ok",
      onFailure: (error) => (error._tag === "KubeStatusError" ? String(error.code) : error.message)
    })
  ).pipe(Effect.provide(KubeApi.layer.pipe(Layer.provide(KubeHttp.layer), Layer.provide(config))))
})

const mutualTls = Layer.unwrap(
  Effect.sync(() =>
    EmbeddedKube.layer({
      tokens: ["good"],
      tls: { cert: pem("server.crt"), key: pem("server.key"), clientCa: pem("ca.crt") }
    })
  )
)

describe("KubeHttp", () => {
  it.live("uses a rotated certificate and a rotated token with the next request", () =>
    Effect.gen(function* () {
      const { ca, rejectUnauthorized } = certificate("admin").tls
      const token = (value: string): KubeConfig.RequestCredentials => ({
        headers: { Authorization: `Bearer ${value}` },
        tls: { ca, rejectUnauthorized }
      })
      const answers = yield* asking([
        certificate("stranger"),
        certificate("admin"),
        certificate("stranger"),
        token("bad"),
        token("good")
      ])
      assert.deepStrictEqual(answers, ["401", "ok", "401", "401", "ok"])
    }).pipe(Effect.provide(mutualTls))
  )

  it.live("rejects a server certificate that the CA of the cluster did not sign", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedKube
      for (const ca of [pem("other-ca.crt"), undefined]) {
        const config = KubeConfig.layerEndpoint({ url, token: "good", ca })
        const error = yield* Effect.flip(list).pipe(
          Effect.provide(KubeApi.layer.pipe(Layer.provide(KubeHttp.layer), Layer.provide(config)))
        )
        assert.strictEqual(error._tag, "KubeUnreachable")
        assert.match(error.message, /certificate/)
      }
    }).pipe(Effect.provide(mutualTls))
  )

  it.live("uses one connection for many requests", () =>
    Effect.gen(function* () {
      const ports = new Set<string>()
      const { url } = yield* serve((_, response) => {
        ports.add(String(response.socket?.remotePort))
        response.end('{"metadata":{"resourceVersion":"1"}}')
      })
      yield* Effect.provide(
        Effect.forEach([1, 2, 3], () => list),
        kubeApi(url)
      )
      assert.strictEqual(ports.size, 1)
    })
  )

  it.live("gives up a connection after the connect timeout, TLS handshake included", () =>
    Effect.gen(function* () {
      // Accepts connections and never completes a TLS handshake.
      const server = yield* Effect.acquireRelease(
        Effect.sync(() => createServer()),
        (server) => Effect.sync(() => server.close())
      )
      const port = yield* Effect.callback<number>((resume) => {
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
        })
      })
      const error = yield* Effect.flip(list).pipe(
        Effect.provide(
          KubeApi.layer.pipe(
            Layer.provide(KubeHttp.layerOptions({ connectTimeout: Duration.millis(50) })),
            Layer.provide(KubeConfig.layerEndpoint({ url: `https://127.0.0.1:${port}` }))
          )
        )
      )
      assert.strictEqual(error.message, "no connection within 50 ms")
    })
  )
})
