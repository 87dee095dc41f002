import { Schema } from "effect"
import type { ReplicaCount } from "./Names.ts"

/** An entity tag (RFC 9110), which identifies the content of a response. A proxy may make it weak. */
export const EntityTag = Schema.String.check(
  Schema.isPattern(/^(?:W\/)?"[\x21\x23-\x7e]*"$/u, { expected: "an entity tag in quotes" })
).pipe(Schema.brand("EntityTag"))
export type EntityTag = typeof EntityTag.Type

/** The entity tag of a single replica count: the count. */
export const ofCount = (count: ReplicaCount): EntityTag => EntityTag.make(`"${count}"`)
