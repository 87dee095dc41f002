import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Layer, Logger, Metric, References, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { PassThrough } from "node:stream"
import { Audit, type AuditRecord } from "../../src/observability/Audit.ts"
import * as AuditLog from "../../src/observability/AuditLog.ts"
import { measured } from "../support/Measured.ts"
import { identity } from "./Requests.ts"

const refused: AuditRecord = {
  requestId: "r",
  identity: undefined,
  remoteAddress: "192.0.2.1",
  namespace: "personal",
  deployment: "nginx",
  to: "1",
  ifMatch: undefined,
  dryRun: false,
  from: undefined,
  outcome: "refused",
  code: "Unidentified",
  late: false,
  receivedAt: 0
}
const refusedUser: AuditRecord = { ...refused, identity: identity("ann"), code: "Unauthorized" }
const accepted: AuditRecord = { ...refused, identity: identity("ann"), outcome: "accepted", code: undefined }

interface Line {
  readonly outcome: string
  readonly remoteAddress: string
  readonly repeated?: number
}

/** An audit log into `lines`, over a stream that nobody reads. Closes with `close`. */
const auditing = Effect.gen(function* () {
  const lines: Array<Line> = []
  const stream = new PassThrough({ highWaterMark: 1024 })
  const into = Logger.map(Logger.formatJson, (line) => {
    lines.push(JSON.parse(line).annotations)
    stream.write(line)
  })
  const scope = yield* Scope.make()
  const services = yield* Layer.buildWithScope(AuditLog.layer(stream).pipe(Layer.provide(Logger.layer([into]))), scope)
  const run = <A, E>(use: (audit: Audit["Service"]) => Effect.Effect<A, E>) =>
    Effect.flatMap(Audit, use).pipe(Effect.provide(services), Effect.provide(Logger.layer([into])))
  return {
    lines,
    stream,
    record: (record: AuditRecord) => run((audit) => audit.record(record)),
    admit: run((audit) => audit.admit),
    close: Scope.close(scope, Exit.void).pipe(Effect.provide(Logger.layer([into])))
  }
}).pipe(Effect.provideService(References.MinimumLogLevel, "Error"))

const counted = (lines: ReadonlyArray<Line>) => lines.reduce((sum, { repeated = 1 }) => sum + repeated, 0)

const fresh = Layer.sync(Metric.MetricRegistry, () => new Map())

describe("refused requests of unidentified clients", () => {
  it.effect.prop(
    "are counted exactly, in few lines, whatever their addresses and times",
    [
      Schema.Array(
        Schema.Struct({
          address: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
          requests: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 50 })),
          seconds: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 25 }))
        })
      ).check(Schema.isMaxLength(12))
    ],
    ([steps]) =>
      Effect.gen(function* () {
        const { close, lines, record } = yield* auditing
        let sent = 0
        let elapsed = 0
        for (const { address, requests, seconds } of steps) {
          for (let at = 0; at < requests; at++) yield* record({ ...refused, remoteAddress: `192.0.2.${address}` })
          sent += requests
          elapsed += seconds
          yield* TestClock.adjust(Duration.seconds(seconds))
        }
        yield* close
        assert.strictEqual(counted(lines), sent)
        // For each address: the first line, one each interval, and one at the end.
        assert.isAtMost(lines.length, 4 * (2 * Math.ceil(elapsed / 10) + 2))
      })
  )

  it.effect("of very many addresses share one count", () =>
    Effect.gen(function* () {
      const { close, lines, record } = yield* auditing
      for (let at = 0; at < 5000; at++) yield* record({ ...refused, remoteAddress: `10.0.${at >> 8}.${at & 255}` })
      assert.strictEqual(lines.length, 1025)
      yield* close
      assert.strictEqual(lines.length, 1026)
      assert.strictEqual(counted(lines), 5000)
    })
  )
})

describe("when the reader of the log stalls or is gone", () => {
  it.effect("a stalled reader: denies writes, drops refused requests, keeps records of writes", () =>
    Effect.gen(function* () {
      const { admit, lines, record, stream } = yield* auditing
      yield* admit
      let written = 0
      while (stream.writableLength < AuditLog.mostWaiting) {
        yield* record(accepted)
        written++
      }
      assert.strictEqual((yield* Effect.flip(admit)).code, "NotReady")
      assert.strictEqual(yield* measured("audit_writes_refused_total"), 1)
      for (let at = 0; at < 100; at++) yield* record(refusedUser)
      assert.strictEqual(yield* measured("audit_records_dropped_total"), 100)
      assert.strictEqual(lines.length, written)
      yield* record(accepted)
      yield* record({ ...accepted, outcome: "failed", late: true })
      assert.strictEqual(lines.length, written + 2)
      stream.resume()
      yield* Effect.promise(() => new Promise((resolve) => stream.once("drain", resolve)))
      yield* admit
      yield* record(refusedUser)
      assert.strictEqual(lines.length, written + 3)
    }).pipe(Effect.provide(fresh))
  )

  it.effect("a closed log: admits no write", () =>
    Effect.gen(function* () {
      const { admit, stream } = yield* auditing
      stream.destroy()
      assert.strictEqual((yield* Effect.flip(admit)).code, "NotReady")
    })
  )
})
