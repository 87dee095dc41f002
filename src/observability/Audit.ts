import { Context, Effect, Layer, References } from "effect"
import type { Identity } from "../identity/Identity.ts"

/**
 * What became of a write.
 *
 * - `accepted`: the cluster took it.
 * - `refused`: it was not sent to the cluster, or the cluster refused it; nothing was changed.
 * - `failed`: it was tried. Whether the cluster took it may not be known (`code` tells why).
 */
export type AuditOutcome = "accepted" | "refused" | "failed"

/** One write, as asked for and as it ended. */
export interface AuditRecord {
  readonly requestId: string
  /** Who asked; `undefined`: not identified. */
  readonly identity: Identity | undefined
  readonly remoteAddress: string | undefined
  /** What was asked for, as it stood in the request. */
  readonly namespace: string
  readonly deployment: string
  readonly to: string
  /** The count before, as the cache had it; `undefined` where there was none. */
  readonly from: number | undefined
  readonly outcome: AuditOutcome
  /** The error's tag in the contract; `undefined` where the write was accepted. `Abandoned`: the client went away. */
  readonly code: string | undefined
  /** Whether the request had been answered, or its client gone, before this became known. */
  readonly late: boolean
  /** When the request came, in milliseconds since the epoch. */
  readonly receivedAt: number
}

/** Longest text of the request that a record repeats. */
const longest = 253

const shortened = (text: string) => (text.length > longest ? `${text.slice(0, longest - 1)}…` : text)

/**
 * The record of who set what: each write makes one record, whether it was allowed or not, and another one (`late`) where
 * what became of it was known only after the request had been answered.
 */
export class Audit extends Context.Service<Audit, { readonly record: (record: AuditRecord) => Effect.Effect<void> }>()(
  "kube-resource-api/observability/Audit"
) {
  /** Into the log, whatever its level is. */
  static readonly layerLog = Layer.succeed(Audit, {
    record: ({
      code,
      deployment,
      from,
      identity,
      late,
      namespace,
      outcome,
      receivedAt,
      remoteAddress,
      requestId,
      to
    }) =>
      Effect.logInfo("audit").pipe(
        Effect.annotateLogs({
          audit: "write",
          outcome,
          ...(code === undefined ? {} : { code }),
          ...(late ? { late } : {}),
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
          newCount: shortened(to)
        }),
        Effect.provideService(References.MinimumLogLevel, "All")
      )
  })

  /** Into `records`, for tests. */
  static readonly layerMemory = (records: Array<AuditRecord>) =>
    Layer.succeed(Audit, { record: (record) => Effect.sync(() => void records.push(record)) })
}
