/** The entries of the shared log. */
import { Schema } from "effect"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import { ResourceVersion } from "../model/ResourceVersion.ts"
import { SharedDeployment, SharedNamespace } from "./SharedObject.ts"

const watchSign = {
  resource: Schema.Literals(["namespaces", "deployments"]),
  namespace: Schema.optional(NamespaceName)
}

/** What the cluster told, lists apart: those stand in hashes of their own. */
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
 * - `Began`: a leader's first, and what it watches. No watch is live until it is heard.
 * - `Told`: what the cluster told, in order.
 * - `Listed`: the scope has a new list, in the hash that the scopes now name.
 * - `Beat`: the leader lives; the watches that are live, and how long ago each was heard. A leader that then says nothing for
 *   `leaseMillis` is gone.
 * - `Ended`: the leader is no more, in good order.
 */
export const LogEntry = Schema.Union([
  Schema.TaggedStruct("Began", { scopes: Schema.Array(Schema.String) }),
  Schema.TaggedStruct("Told", { events: Schema.Array(ToldEvent) }),
  Schema.TaggedStruct("Listed", { scope: Schema.String }),
  Schema.TaggedStruct("Beat", {
    leaseMillis: Millis,
    live: Schema.Array(Schema.Struct({ scope: Schema.String, agoMillis: Millis }))
  }),
  Schema.TaggedStruct("Ended", {})
])
export type LogEntry = typeof LogEntry.Type

const Json = Schema.fromJsonString(LogEntry)

/** An entry as text. */
export const encode = Schema.encodeSync(Json)

/** An entry of a text. */
export const decode = Schema.decodeUnknownResult(Json)
