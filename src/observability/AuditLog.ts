/** The audit log: records as log lines, in bounded memory. */
import { Duration, Effect, Layer, Metric, References } from "effect"
import type { Writable } from "node:stream"
import { NotReady } from "../contract/Problems.ts"
import { clientAddress } from "../identity/ClientAddress.ts"
import { Audit, type AuditRecord } from "./Audit.ts"

/** The maximum length of a text from the request. */
const longest = 253

const shortened = (text: string) => (text.length > longest ? `${text.slice(0, longest - 1)}…` : text)

/** No write is admitted while this many bytes or more wait for the reader of the log. */
export const mostWaiting = 524_288

/** How long refused requests of one unidentified address are counted before they are logged together. */
export const aggregated = Duration.seconds(10)

/** The maximum number of addresses counted separately. All others share one count. */
const mostAddresses = 1024

const dropped = Metric.counter("audit_records_dropped_total", {
  description: "Audit records of refused requests that were dropped because the reader of the log is too slow.",
  incremental: true
})

const refused = Metric.counter("audit_writes_refused_total", {
  description: "Writes refused with 503 because the audit log could not have recorded them.",
  incremental: true
})

const unrecordable = new NotReady({ detail: "The audit log cannot record the write; nothing was set." })

const log = (record: AuditRecord, repeated = 0) => {
  const { code, deployment, dryRun, from, identity, ifMatch, late, namespace, outcome } = record
  const { receivedAt, remoteAddress, requestId, to } = record
  return Effect.logInfo("audit").pipe(
    Effect.annotateLogs({
      audit: "write",
      outcome,
      ...(code === undefined ? {} : { code }),
      ...(late ? { late } : {}),
      ...(repeated === 0 ? {} : { repeated }),
      receivedAt: new Date(receivedAt).toISOString(),
      requestId,
      subject: identity?.user ?? null,
      groups: identity?.groups ?? [],
      certificateSerial: identity?.serialNumber ?? null,
      certificateIssuer: identity?.issuer ?? null,
      ...(identity === undefined || identity.spiffeIds.length === 0 ? {} : { spiffeIds: identity.spiffeIds }),
      remoteAddress: remoteAddress ?? null,
      verb: "set",
      namespace: shortened(namespace),
      deployment: shortened(deployment),
      oldCount: from ?? null,
      newCount: shortened(to),
      ...(ifMatch === undefined ? {} : { ifMatch: shortened(ifMatch) }),
      ...(dryRun ? { dryRun } : {})
    }),
    Effect.provideService(References.MinimumLogLevel, "All")
  )
}

/** The refused requests of an address since its last line. */
interface Refusals {
  count: number
  last: AuditRecord
}

/**
 * Logs the records at every log level. `stream` is the destination of the log.
 *
 * - A record of a write that was sent to the cluster is always logged. Writes are admitted only while few bytes wait for the
 *   reader of `stream`, and the limits of writes bound those that are already admitted.
 * - A record of a refused request is dropped while too many bytes wait.
 * - Records of refused requests of unidentified clients are aggregated by address, because anyone can send them without
 *   limit. The first refused request is logged at once. After that, one line every ten seconds holds the last request and
 *   the number of requests (`repeated`).
 */
export const layer = (stream: Writable) =>
  Layer.effect(
    Audit,
    Effect.gen(function* () {
      yield* Metric.update(dropped, 0)
      yield* Metric.update(refused, 0)
      const hasRoom = () => stream.writable && stream.writableLength < mostWaiting
      const unidentified = new Map<string, Refusals>()

      const logRefused = (record: AuditRecord, repeated = 0) =>
        Effect.suspend(() => (hasRoom() ? log(record, repeated) : Metric.update(dropped, Math.max(1, repeated))))

      const flush = Effect.suspend(() => {
        const lines: Array<Effect.Effect<void>> = []
        for (const [address, refusals] of unidentified) {
          if (refusals.count === 0) unidentified.delete(address)
          else lines.push(logRefused(refusals.last, refusals.count))
          refusals.count = 0
        }
        return Effect.all(lines, { discard: true })
      })

      const count = (record: AuditRecord) =>
        Effect.suspend(() => {
          const address = clientAddress(record.remoteAddress)
          const key = unidentified.has(address) || unidentified.size < mostAddresses ? address : "others"
          const refusals = unidentified.get(key)
          if (refusals === undefined) {
            unidentified.set(key, { count: 0, last: record })
            return logRefused(record)
          }
          refusals.count++
          refusals.last = record
          return Effect.void
        })

      yield* Effect.acquireRelease(
        Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(aggregated), flush))),
        () => flush
      )
      return {
        admit: Effect.suspend(() =>
          hasRoom() ? Effect.void : Effect.andThen(Metric.update(refused, 1), Effect.fail(unrecordable))
        ),
        record: (record) => {
          if (record.outcome !== "refused") return log(record)
          return record.identity === undefined ? count(record) : logRefused(record)
        }
      }
    })
  )
