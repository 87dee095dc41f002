import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Option, Random } from "effect"
import { TestClock } from "effect/testing"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import * as KubeApi from "../../src/kube/KubeApi.ts"
import * as KubeClusterIdentity from "../../src/kube/KubeClusterIdentity.ts"
import * as KubeConfig from "../../src/kube/KubeConfig.ts"
import type { KubeError } from "../../src/kube/KubeErrors.ts"
import * as KubeHttp from "../../src/kube/KubeHttp.ts"
import { ClusterIdentity, type Identity, isSame } from "../../src/model/ClusterIdentity.ts"
import { pem } from "../support/Pki.ts"
import { garbage, status, stubKubeApi, unreachable } from "./ScriptedKube.ts"

const one = pem("ca.crt")
const two = pem("other-ca.crt")

const server = "https://10.96.0.1:443"
const endpoint = KubeClusterIdentity.endpointOf(server, one)

/** The identity of a cluster that gives these answers for `kube-system` in turn; the last one again and again. */
const identity = Effect.fnUntraced(function* (
  answers: ReadonlyArray<string | undefined | KubeError>,
  options: KubeClusterIdentity.KubeClusterIdentityOptions = {}
) {
  const logged: Array<string> = []
  let asked = 0
  const api = stubKubeApi({
    getNamespaceUid: (name) =>
      Effect.suspend(() => {
        assert.strictEqual(name, "kube-system")
        const answer = answers[Math.min(asked++, answers.length - 1)]
        if (answer === undefined) return Effect.succeedNone
        return typeof answer === "string" ? Effect.succeed(Option.some(answer)) : Effect.fail(answer)
      })
  })
  const services = yield* Layer.build(
    KubeClusterIdentity.layer(options).pipe(
      Layer.provide([
        api,
        KubeConfig.layerEndpoint({ url: server, ca: one }),
        Logger.layer([Logger.make(({ logLevel }) => void logged.push(logLevel))])
      ])
    )
  ).pipe(Random.withSeed("identity"))
  const { current, determined } = yield* Effect.provide(ClusterIdentity, services)
  return { current, determined, asked: () => asked, warnings: () => logged.filter((level) => level === "Warn").length }
})

describe("the endpoint of a cluster", () => {
  it("depends on the address and on the CA, because most clusters have the same address in their pods", () => {
    const endpoints = [
      endpoint,
      KubeClusterIdentity.endpointOf(server, two),
      KubeClusterIdentity.endpointOf(server, one + two),
      KubeClusterIdentity.endpointOf(server, undefined),
      KubeClusterIdentity.endpointOf("https://10.96.0.2:443", one),
      KubeClusterIdentity.endpointOf(`${server}/k8s/clusters/one`, one)
    ]
    assert.strictEqual(new Set(endpoints).size, endpoints.length)
    for (const each of endpoints) assert.match(each, /^[0-9a-f]{32}$/)
  })

  it("does not depend on how they are written", () => {
    const [body = ""] = one.split("-----BEGIN CERTIFICATE-----").slice(1)
    const rewritten = `subject=CA\r\n-----BEGIN CERTIFICATE-----${body.replaceAll("\n", "\r\n")}`
    assert.strictEqual(KubeClusterIdentity.endpointOf("https://10.96.0.1/", rewritten), endpoint)
    assert.strictEqual(
      KubeClusterIdentity.endpointOf(server, two + one + one),
      KubeClusterIdentity.endpointOf(server, one + two)
    )
  })
})

describe("the identity of a cluster", () => {
  it("is compared by UID if both are known, otherwise by endpoint", () => {
    const known: Identity = { uid: "a", endpoint: "e" }
    const cases: ReadonlyArray<readonly [Identity, Identity, boolean]> = [
      [known, known, true],
      [known, { uid: "a", endpoint: "f" }, true],
      [known, { uid: "b", endpoint: "e" }, false],
      [known, { endpoint: "e" }, true],
      [known, { endpoint: "f" }, false],
      [{ endpoint: "e" }, { endpoint: "e" }, true],
      [{ endpoint: "e" }, { endpoint: "f" }, false]
    ]
    for (const [a, b, expected] of cases) {
      assert.strictEqual(isSame(a, b), expected, JSON.stringify([a, b]))
      assert.strictEqual(isSame(b, a), expected, JSON.stringify([b, a]))
    }
  })

  it.effect("is the UID of kube-system and the endpoint", () =>
    Effect.gen(function* () {
      const { current, determined, warnings } = yield* identity(["7b3c"])
      assert.deepStrictEqual(yield* current, { uid: "7b3c", endpoint })
      assert.deepStrictEqual(yield* determined, { uid: "7b3c", endpoint })
      assert.strictEqual(warnings(), 0)
    })
  )

  it.effect("is the endpoint if the namespace may not be read, or does not exist", () =>
    Effect.gen(function* () {
      for (const answer of [status(403), undefined]) {
        const { asked, determined, warnings } = yield* identity([answer])
        assert.deepStrictEqual(yield* determined, { endpoint })
        yield* TestClock.adjust("5 minutes")
        assert.strictEqual(asked(), 1)
        assert.strictEqual(warnings(), 1)
      }
    })
  )

  it.effect("is the endpoint without a request if a Role limits the service to namespaces", () =>
    Effect.gen(function* () {
      const { asked, determined, warnings } = yield* identity(["7b3c"], { readsUid: false })
      assert.deepStrictEqual(yield* determined, { endpoint })
      assert.strictEqual(asked(), 0)
      assert.strictEqual(warnings(), 0)
    })
  )

  it.effect("is the endpoint while the cluster gives no answer, and is retried until it does", () =>
    Effect.gen(function* () {
      const { current, determined, warnings } = yield* identity([
        unreachable,
        status(401),
        status(503),
        garbage,
        "7b3c"
      ])
      assert.deepStrictEqual(yield* current, { endpoint })
      const waiting = yield* Effect.forkChild(determined)
      yield* TestClock.adjust("1 second")
      assert.isUndefined(waiting.pollUnsafe())
      assert.deepStrictEqual(yield* current, { endpoint })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Fiber.join(waiting), { uid: "7b3c", endpoint })
      assert.deepStrictEqual(yield* current, { uid: "7b3c", endpoint })
      assert.strictEqual(warnings(), 1)
    })
  )

  it.live("differs between two clusters with the same content", () =>
    Effect.gen(function* () {
      const identities = yield* Effect.forEach([1, 2], () =>
        Effect.flatMap(ClusterIdentity, ({ determined }) => determined).pipe(
          Effect.provide(
            Layer.unwrap(
              Effect.map(EmbeddedKube, ({ url }) =>
                KubeClusterIdentity.layer().pipe(
                  Layer.provide(KubeApi.layer),
                  Layer.provide(KubeHttp.layer),
                  Layer.provide(KubeConfig.layerEndpoint({ url }))
                )
              )
            ).pipe(Layer.provide(EmbeddedKube.layer({ seed: demoSeed })))
          )
        )
      )
      const [first, second] = identities.map(({ uid }) => uid)
      assert.isDefined(first)
      assert.isDefined(second)
      assert.notStrictEqual(first, second)
    })
  )
})
