/** The settings of lists and watches, as the API server sees them. */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { PassThrough } from "node:stream"
import * as KubeConfig from "../../src/kube/KubeConfig.ts"
import * as Service from "../../src/Service.ts"
import * as Settings from "../../src/settings/Settings.ts"
import { serve } from "../kube/HttpCluster.ts"
import { initialEnd } from "../kube/ScriptedKube.ts"
import { eventually } from "../support/Eventually.ts"
import { demoSettings } from "../support/Process.ts"

/** How long the API server keeps a watch open. A watch of less than a second would count as a failure. */
const watchMillis = 1100

/** Runs the service with these settings over an API server without objects. Succeeds with the requests it receives. */
const requestsWith = Effect.fnUntraced(function* (env: Readonly<Record<string, string>>) {
  const { received, url } = yield* serve((_, response) => {
    response.writeHead(200, { "content-type": "application/json" })
    response.write(`${JSON.stringify(initialEnd(5))}\n`)
    setTimeout(() => response.end(), watchMillis)
  })
  yield* Layer.unwrap(
    Effect.map(Settings.load, (settings) =>
      Service.layer(settings, {
        ...Service.parts(settings, { stream: new PassThrough().resume(), terminal: false }),
        kubeConfig: KubeConfig.layerEndpoint({ url }),
        observability: Layer.empty
      })
    )
  ).pipe(
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { ...demoSettings, ...env } }))),
    Layer.provide(NodeServices.layer),
    Layer.build
  )
  return received
})

/** The first two requests for namespaces. */
const twoRequests = Effect.fnUntraced(function* (env: Readonly<Record<string, string>>) {
  const received = yield* requestsWith(env)
  return yield* eventually(
    () => received.filter(({ path }) => path === "/api/v1/namespaces"),
    (found) => found.length >= 2
  )
})

describe("KUBE_CONTENT_TYPE", () => {
  it.live("is protobuf by default", () =>
    Effect.gen(function* () {
      const [first] = yield* twoRequests({})
      assert.strictEqual(first?.headers.accept, "application/vnd.kubernetes.protobuf;stream=watch,application/json")
    })
  )

  it.live("json requests JSON only", () =>
    Effect.gen(function* () {
      const [first] = yield* twoRequests({ KUBE_CONTENT_TYPE: "json" })
      assert.strictEqual(first?.headers.accept, "application/json")
    })
  )
})

describe("KUBE_RELIST_INTERVAL", () => {
  it.live("by default does not replace the second watch with a list", () =>
    Effect.gen(function* () {
      const [, second] = yield* twoRequests({})
      assert.deepInclude(second?.query, { watch: "true", resourceVersion: "5" })
    })
  )

  it.live("is the lifetime of watches after which a list replaces the next watch", () =>
    Effect.gen(function* () {
      const [, second] = yield* twoRequests({ KUBE_RELIST_INTERVAL: "500ms" })
      assert.deepInclude(second?.query, { watch: "true", sendInitialEvents: "true" })
    })
  )

  it.live("of 0s resumes every watch", () =>
    Effect.gen(function* () {
      const [, second] = yield* twoRequests({ KUBE_RELIST_INTERVAL: "0s" })
      assert.deepInclude(second?.query, { watch: "true", resourceVersion: "5" })
    })
  )
})
