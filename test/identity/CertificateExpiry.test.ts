import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Metric, Scope, SubscriptionRef } from "effect"
import { TestClock } from "effect/testing"
import { certificateExpiry, layer } from "../../src/identity/CertificateExpiry.ts"
import { make } from "../../src/identity/ClientTrust.ts"
import { ServerTls } from "../../src/identity/ServerTls.ts"
import type { Expiry, TlsMaterial } from "../../src/identity/Tls.ts"

const day = 86_400_000
const start = Date.UTC(2026, 10, 1)

const expiring = (file: Expiry["file"], daysFromStart: number, lifetimeDays: number): Expiry => ({
  file,
  setting: `SETTING_OF_${file}`,
  path: `/tls/${file}`,
  since: start + (daysFromStart - lifetimeDays) * day,
  expiresAt: start + daysFromStart * day
})

const material = (...expiries: ReadonlyArray<Expiry>): TlsMaterial => ({
  cert: "",
  key: "",
  ca: "",
  lists: [],
  ciphers: "",
  requireClientCertificate: false,
  expiresAt: 0,
  expiries,
  trust: make([], undefined)
})

/** The layer over files with the given expiries, its log, and a clock that the test moves. */
const watched = Effect.fnUntraced(function* (...expiries: ReadonlyArray<Expiry>) {
  yield* TestClock.setTime(start)
  const inUse = yield* SubscriptionRef.make(material(...expiries))
  const logged: Array<string> = []
  yield* Layer.buildWithScope(
    layer({ tlsExpiryWarning: Duration.days(21) }).pipe(
      Layer.provide([
        Logger.layer([Logger.map(Logger.formatJson, (line) => void logged.push(line))]),
        Layer.succeed(ServerTls, {
          current: () => SubscriptionRef.getUnsafe(inUse),
          changes: SubscriptionRef.changes(inUse)
        })
      ])
    ),
    yield* Scope.Scope
  )
  yield* TestClock.adjust(0)
  return {
    renew: (...next: ReadonlyArray<Expiry>) =>
      Effect.andThen(SubscriptionRef.set(inUse, material(...next)), TestClock.adjust(0)),
    warnings: Effect.sync(() => logged.splice(0)),
    /** The expiry in the gauge, in days from the start. */
    gauge: (file: Expiry["file"]) =>
      Effect.map(
        Metric.value(Metric.withAttributes(certificateExpiry, { file })),
        ({ value }) => (value * 1000 - start) / day
      )
  }
})

const measuring = Effect.provideServiceEffect(
  Metric.MetricRegistry,
  Effect.sync(() => new Map())
)

describe("CertificateExpiry", () => {
  it.effect("publishes the expiry, and warns once a day from 21 days before", () =>
    Effect.gen(function* () {
      const { gauge, warnings } = yield* watched(expiring("server", 30, 365), expiring("client_ca", 3000, 3650))
      assert.strictEqual(yield* gauge("server"), 30)
      assert.strictEqual(yield* gauge("client_ca"), 3000)
      assert.deepStrictEqual(yield* warnings, [])
      yield* TestClock.adjust("9 days")
      assert.deepStrictEqual(yield* warnings, [])
      yield* TestClock.adjust("1 hour")
      const [warning, ...more] = yield* warnings
      assert.include(warning, "SETTING_OF_server=/tls/server")
      assert.include(warning, "expires soon")
      assert.include(warning, "WARN")
      assert.deepStrictEqual(more, [])
      yield* TestClock.adjust("23 hours")
      assert.strictEqual((yield* warnings).length, 0)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* warnings).length, 1)
      yield* TestClock.adjust("10 days")
      assert.strictEqual((yield* warnings).length, 10)
      yield* TestClock.adjust("10 days")
      assert.include((yield* warnings).at(-1), "has expired")
    }).pipe(measuring)
  )

  it.effect("stops warning after a renewal, and warns at once if the new certificate is near its expiry too", () =>
    Effect.gen(function* () {
      const { gauge, renew, warnings } = yield* watched(expiring("server", 5, 365))
      assert.strictEqual((yield* warnings).length, 1)
      yield* renew(expiring("server", 4, 365))
      assert.strictEqual((yield* warnings).length, 1)
      assert.strictEqual(yield* gauge("server"), 4)
      yield* renew(expiring("server", 300, 365))
      assert.strictEqual(yield* gauge("server"), 300)
      yield* TestClock.adjust("30 days")
      assert.deepStrictEqual(yield* warnings, [])
    }).pipe(measuring)
  )

  it.effect("warns of a short-lived certificate or list in the last quarter of its lifetime", () =>
    Effect.gen(function* () {
      const { warnings } = yield* watched(expiring("crl", 8, 8), expiring("server", 1, 1))
      assert.deepStrictEqual(yield* warnings, [])
      yield* TestClock.adjust("19 hours")
      assert.include((yield* warnings).join(), "SETTING_OF_server")
      yield* TestClock.adjust("5 days")
      yield* warnings
      yield* TestClock.adjust("7 hours")
      const near = (yield* warnings).join()
      assert.include(near, "SETTING_OF_crl")
      assert.include(near, "no client of its authority will be identified")
    }).pipe(measuring)
  )

  it.effect("warns at the start of what has expired already", () =>
    Effect.gen(function* () {
      const { warnings } = yield* watched(expiring("client_ca", -1, 365))
      assert.include((yield* warnings).join(), "has expired: its clients")
    }).pipe(measuring)
  )
})
