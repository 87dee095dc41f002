import { Schema } from "effect"

/**
 * The cluster's version of an object or of a whole list. Opaque, except that two decimal ones compare (`isOlder`).
 */
export const ResourceVersion = Schema.NonEmptyString.pipe(Schema.brand("ResourceVersion"))
export type ResourceVersion = typeof ResourceVersion.Type

const decimal = /^(?:0|[1-9][0-9]*)$/

/**
 * Whether `a` is certainly older than `b`. Kubernetes 1.35 defines the order of two versions of one resource when both
 * are decimal numbers without leading zeros; of any others nothing is known, and the answer is `false`.
 */
export const isOlder = (a: ResourceVersion, b: ResourceVersion): boolean =>
  decimal.test(a) && decimal.test(b) && (a.length === b.length ? a < b : a.length < b.length)
