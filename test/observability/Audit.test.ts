import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, References, Schema } from "effect"
import { PassThrough } from "node:stream"
import * as AuditLog from "../../src/observability/AuditLog.ts"
import { Audit, type AuditRecord } from "../../src/observability/Audit.ts"

const accepted: AuditRecord = {
  requestId: "r-1",
  identity: {
    user: "admin",
    groups: ["platform"],
    serialNumber: "0A",
    issuer: "CN=ca",
    expiresAt: 1,
    spiffeIds: ["spiffe://x/y"]
  },
  remoteAddress: "192.0.2.1",
  namespace: "personal",
  deployment: "nginx",
  to: "38",
  ifMatch: undefined,
  dryRun: false,
  from: 12,
  outcome: "accepted",
  code: undefined,
  late: false,
  receivedAt: Date.UTC(2026, 10, 24)
}

/** The JSON log lines of the records with this minimum log level. */
const logged = Effect.fnUntraced(function* (records: ReadonlyArray<AuditRecord>, level: "Info" | "Error") {
  const lines: Array<Record<string, unknown>> = []
  const into = Logger.map(Logger.formatJson, (line) => void lines.push(JSON.parse(line)))
  yield* Effect.flatMap(Audit, (audit) => Effect.forEach(records, audit.record)).pipe(
    Effect.provide(
      Layer.mergeAll(
        AuditLog.layer(new PassThrough()),
        Logger.layer([into]),
        Layer.succeed(References.MinimumLogLevel, level)
      )
    )
  )
  return lines.map(({ annotations }) => annotations)
})

describe("the audit log", () => {
  it.effect("has every field of a write, whatever the log level", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged([accepted], "Error"), [
        {
          audit: "write",
          outcome: "accepted",
          receivedAt: "2026-11-24T00:00:00.000Z",
          requestId: "r-1",
          subject: "admin",
          groups: ["platform"],
          certificateSerial: "0A",
          certificateIssuer: "CN=ca",
          spiffeIds: ["spiffe://x/y"],
          remoteAddress: "192.0.2.1",
          verb: "set",
          namespace: "personal",
          deployment: "nginx",
          oldCount: 12,
          newCount: "38"
        }
      ])
    })
  )

  it.effect("has If-Match as it was sent, and says that a write is a dry run", () =>
    Effect.gen(function* () {
      const [record] = yield* logged([{ ...accepted, ifMatch: '"12"', dryRun: true }], "Info")
      assert.deepInclude(record, { ifMatch: '"12"', dryRun: true })
      const [long] = yield* logged([{ ...accepted, ifMatch: '"1",'.repeat(1000) }], "Info")
      assert.deepInclude(long, { ifMatch: `${'"1",'.repeat(63)}…` })
    })
  )

  it.effect("truncates the values of a hostile request", () =>
    Effect.gen(function* () {
      const hostile = {
        ...accepted,
        identity: undefined,
        from: undefined,
        outcome: "refused",
        code: "BadRequest"
      } as const
      const [record] = yield* logged([{ ...hostile, namespace: "x\n{}".repeat(500), to: "9".repeat(2000) }], "Info")
      const { namespace, newCount, oldCount, subject } = yield* Schema.decodeUnknownEffect(
        Schema.Struct({
          namespace: Schema.String,
          newCount: Schema.String,
          oldCount: Schema.Null,
          subject: Schema.Null
        })
      )(record)
      assert.strictEqual(namespace.length, 253)
      assert.strictEqual(newCount.length, 253)
      assert.isNull(oldCount)
      assert.isNull(subject)
    })
  )
})
