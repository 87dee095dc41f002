import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { kubeconfig } from "../support/Kubeconfig.ts"
import { conformanceSuite, demoSettings, start } from "../support/Process.ts"
import * as TcpBalancer from "../support/TcpBalancer.ts"

const cluster = EmbeddedKube.layer({ seed: demoSeed, tokens: ["test"] })

describe("the conformance suite", () => {
  it.live("passes against the service, and deletes what it created", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const KUBECONFIG = kubeconfig(kube.url, { token: "test" })
      const service = yield* start({ ...demoSettings, KUBE_SOURCE: "kubeconfig", KUBECONFIG, HEADERS_TIMEOUT: "1s" })
      const run = yield* conformanceSuite(yield* service.port, { KUBECONFIG })
      assert.strictEqual(yield* run.exited, 0, run.output())
      assert.match(run.output(), /\n[0-9]{2,} passed, 0 failed, [0-9]+ left out\n$/)
      for (const row of [
        "TLS",
        "1",
        "2",
        "2A",
        "3",
        "3A",
        "3B",
        "3C",
        "4",
        "5",
        "6",
        "400",
        "401",
        "403",
        "404",
        "408",
        "410",
        "412",
        "304",
        "wait",
        "stream"
      ]) {
        assert.match(run.output(), new RegExp(`^ok +${row} `, "m"))
      }
      assert.deepStrictEqual((yield* kube.snapshot).namespaces, ["default", "kube-system", "personal"])
    }).pipe(Effect.provide(cluster))
  )

  it.live("passes through a TCP balancer of two instances", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const KUBECONFIG = kubeconfig(kube.url, { token: "test" })
      const balancer = yield* TcpBalancer.make
      for (let nth = 0; nth < 2; nth++) {
        const service = yield* start({ ...demoSettings, KUBE_SOURCE: "kubeconfig", KUBECONFIG, HEADERS_TIMEOUT: "1s" })
        yield* balancer.add(yield* service.port)
      }
      const run = yield* conformanceSuite(balancer.port, { KUBECONFIG })
      assert.strictEqual(yield* run.exited, 0, run.output())
      assert.match(run.output(), /\n[0-9]{2,} passed, 0 failed, [0-9]+ left out\n$/)
      assert.strictEqual(balancer.given.size, 2)
    }).pipe(Effect.provide(cluster))
  )

  it.live("fails row by row against a service of another cluster, and deletes what it created", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const service = yield* start({ ...demoSettings, HEADERS_TIMEOUT: "1s" })
      const run = yield* conformanceSuite(yield* service.port, {
        KUBECONFIG: kubeconfig(kube.url, { token: "test" }),
        E2E_PATIENCE: "100ms"
      })
      assert.strictEqual(yield* run.exited, 1, run.output())
      assert.match(run.output(), /^FAIL 1 .*\n +e2e-[0-9a-f]+-one is not in it$/m)
      assert.match(run.output(), /^FAIL 4 .*\n +(?:status|expected).*/m)
      assert.match(run.output(), /^ok +404 /m)
      assert.deepStrictEqual((yield* kube.snapshot).namespaces, ["default", "kube-system", "personal"])
    }).pipe(Effect.provide(cluster))
  )

  it.live("names a missing setting", () =>
    Effect.gen(function* () {
      const run = yield* start({}, "src/e2e/main.ts")
      assert.strictEqual(yield* run.exited, 1)
      assert.include(run.output(), "E2E_CA_FILE (not set): it is needed. Set it to a path to a PEM file")
    })
  )
})
