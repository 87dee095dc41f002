/**
 * The shared log: a Redis stream that the leader appends to and every reader follows. Each leader writes under an epoch of
 * its own, later than all epochs before it, and numbers its entries from 0 without a gap.
 */
import { Option, Schema } from "effect"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import { Identity } from "../model/ClusterIdentity.ts"
import { ResourceVersion } from "../model/ResourceVersion.ts"
import { SharedDeployment, SharedNamespace } from "./SharedObject.ts"

/** The position of an entry: the stream's id `<epoch>-<seq>`. */
export interface LogId {
  readonly epoch: number
  readonly seq: number
}

/** The position before every entry. */
export const start: LogId = { epoch: 0, seq: 0 }

/** Formats an id as Redis does. */
export const formatId = ({ epoch, seq }: LogId): string => `${epoch}-${seq}`

const decodeId = Schema.decodeUnknownOption(Schema.String.check(Schema.isPattern(/^[0-9]{1,15}-[0-9]{1,15}$/)))

/** Parses an id from Redis; none if no leader writes such an id. */
export const parseId = (id: unknown): Option.Option<LogId> =>
  Option.map(decodeId(id), (text) => {
    const at = text.indexOf("-")
    return { epoch: Number(text.slice(0, at)), seq: Number(text.slice(at + 1)) }
  })

/** Whether `a` comes after `b`. */
export const isAfter = (a: LogId, b: LogId): boolean => a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq)

/** Whether `next` can come right after `before`, with no entry between them. */
export const follows = (next: LogId, before: LogId): boolean =>
  next.epoch === before.epoch ? next.seq === before.seq + 1 : next.epoch > before.epoch && next.seq === 0

const watchSign = {
  resource: Schema.Literals(["namespaces", "deployments"]),
  namespace: Schema.optional(NamespaceName)
}

/** The cluster events that the log carries. Lists are not among them: each has a hash of its own. */
export const ToldEvent = Schema.Union([
  Schema.TaggedStruct("NamespaceApplied", { object: SharedNamespace }),
  Schema.TaggedStruct("DeploymentApplied", { object: SharedDeployment }),
  Schema.TaggedStruct("NamespaceDeleted", { name: NamespaceName, resourceVersion: ResourceVersion }),
  Schema.TaggedStruct("DeploymentDeleted", {
    ref: Schema.Struct({ namespace: NamespaceName, name: DeploymentName }),
    resourceVersion: ResourceVersion
  }),
  Schema.TaggedStruct("Heard", watchSign),
  Schema.TaggedStruct("Lost", watchSign)
])
export type ToldEvent = typeof ToldEvent.Type

const Millis = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/**
 * One entry.
 *
 * - `Began`: the first entry of a leader, with the cluster and the scopes of it that it watches. No watch is live yet.
 * - `Told`: cluster events, in order.
 * - `Listed`: the scope has a new list, in the hash that `scopes` now names.
 * - `Beat`: the leader's heartbeat; the next one follows after `everyMillis`. Some name the live watches, and how long ago
 *   each was heard.
 * - `Ended`: the leader stepped down.
 */
export const LogEntry = Schema.Union([
  Schema.TaggedStruct("Began", { cluster: Identity, scopes: Schema.Array(Schema.String) }),
  Schema.TaggedStruct("Told", { events: Schema.Array(ToldEvent) }),
  Schema.TaggedStruct("Listed", { scope: Schema.String }),
  Schema.TaggedStruct("Beat", {
    everyMillis: Millis,
    live: Schema.optional(Schema.Array(Schema.Struct({ scope: Schema.String, agoMillis: Millis })))
  }),
  Schema.TaggedStruct("Ended", {})
])
export type LogEntry = typeof LogEntry.Type

const Json = Schema.fromJsonString(LogEntry)

export const encode = Schema.encodeSync(Json)

export const decode = Schema.decodeUnknownResult(Json)
