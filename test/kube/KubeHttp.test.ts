import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Ref } from "effect"
import { readFileSync } from "node:fs"
import { createServer } from "node:net"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { KubeApi } from "../../src/kube/KubeApi.ts"
import { KubeConfig, type RequestCredentials } from "../../src/kube/KubeConfig.ts"
import * as KubeHttp from "../../src/kube/KubeHttp.ts"
import { namespaces } from "../../src/kube/KubeWire.ts"

const pki = (name: string): string => readFileSync(new URL(`../../.dev/test-pki/${name}`, import.meta.url), "utf8")

const list = Effect.flatMap(KubeApi, (api) => api.listPage(namespaces, {}))

/** A cluster over mutual TLS, and the live KubeApi on it with credentials that the test can change. */
const secured = Effect.fnUntraced(function* (credentials: RequestCredentials) {
  const { url } = yield* EmbeddedKube
  const current = yield* Ref.make(credentials)
  const config = Layer.succeed(KubeConfig, { server: url, authorize: Ref.get(current) })
  const context = yield* Layer.build(
    KubeApi.layer.pipe(Layer.provide(KubeHttp.layer), Layer.provide(config))
  )
  return { ask: Effect.result(Effect.provideContext(list, context)), change: (next: RequestCredentials) => Ref.set(current, next) }
})

const cluster = Effect.provide(
  Effect.suspend(() =>
    EmbeddedKube.layer({
      seed: { personal: {} },
      tokens: ["old"],
      tls: { cert: pki("server.crt"), key: pki("server.key"), clientCa: pki("ca.crt") }
    }).pipe(Layer.build)
  ),
  Layer.empty
)

const onCluster = <A, E>(test: Effect.Effect<A, E, EmbeddedKube>) =>
  Effect.scoped(Effect.flatMap(cluster, (context) => Effect.provideContext(test, context)))
