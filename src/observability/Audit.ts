import { Context, Effect, Layer, References } from "effect"
import type { Identity } from "../identity/Identity.ts"

/**
 * The outcome of a write.
 *
 * - `accepted`: the cluster accepted it.
 * - `refused`: it was not sent to the cluster, or the cluster refused it. Nothing has changed.
 * - `failed`: it was tried. Whether the cluster accepted it may be unknown; `code` names the error.
 */
export type AuditOutcome = "accepted" | "refused" | "failed"

/** A write request and its outcome. */
export interface AuditRecord {
  readonly requestId: string
  /** The caller; `undefined` if unidentified. */
  readonly identity: Identity | undefined
  readonly remoteAddress: string | undefined
  /** Namespace, deployment and count as in the request. */
  readonly namespace: string
  readonly deployment: string
  readonly to: string
  /** The count in the cache before the write; `undefined` if there was none. */
  readonly from: number | undefined
  readonly outcome: AuditOutcome
  /** The tag of the error; `undefined` if the write was accepted. `Abandoned`: the client disconnected. */
  readonly code: string | undefined
  /** Whether the outcome became known after the response, or after the client had disconnected. */
  readonly late: boolean
  /** Time of the request in milliseconds since the epoch. */
  readonly receivedAt: number
}

/** The maximum length of a text from the request. */
const longest = 253

const shortened = (text: string) => (text.length > longest ? `${text.slice(0, longest - 1)}…` : text)

/**
 * The audit trail of writes. Each write makes one record, allowed or not, and a second one with `late` if its outcome becomes
 * known after the response.
 */
export class Audit extends Context.Service<Audit, { readonly record: (record: AuditRecord) => Effect.Effect<void> }>()(
  "kube-resource-api/observability/Audit"
) {
  /** Logs the records at every log level. */
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

  /** Collects the records. For tests. */
  static readonly layerMemory = (records: Array<AuditRecord>) =>
    Layer.succeed(Audit, { record: (record) => Effect.sync(() => void records.push(record)) })
}
