import { Context, Effect, Layer } from "effect"
import type { NotReady } from "../contract/Problems.ts"
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
  /** The precondition as in the request; `undefined` without one. */
  readonly ifMatch: string | undefined
  /** Whether the request was a dry run, which changes nothing. */
  readonly dryRun: boolean
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

/**
 * The audit trail of writes. Each write makes one record, allowed or not, and a second one with `late` if its outcome becomes
 * known after the response.
 *
 * `admit` fails if the trail could not take the record of a write: then the write must not be sent to the cluster.
 */
export class Audit extends Context.Service<
  Audit,
  {
    readonly admit: Effect.Effect<void, NotReady>
    readonly record: (record: AuditRecord) => Effect.Effect<void>
  }
>()("kube-resource-api/observability/Audit") {
  /** Collects the records. For tests. */
  static readonly layerMemory = (records: Array<AuditRecord>) =>
    Layer.succeed(Audit, { admit: Effect.void, record: (record) => Effect.sync(() => void records.push(record)) })
}
