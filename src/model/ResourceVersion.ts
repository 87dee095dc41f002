import { Schema } from "effect"

/**
 * The version of an object or a list in the cluster. Opaque, except that decimal versions can be compared (`isOlder`).
 */
export const ResourceVersion = Schema.NonEmptyString.pipe(Schema.brand("ResourceVersion"))
export type ResourceVersion = typeof ResourceVersion.Type

/** The version of a list of namespaces that were polled one by one. Each complete round of the poll ends with a `Heard`. */
export const unversioned = ResourceVersion.make("0")

const decimal = /^(?:0|[1-9][0-9]*)$/

/**
 * Whether `a` is certainly older than `b`. Kubernetes 1.35 defines the order of two versions of a resource if both are
 * decimal numbers without leading zeros. For other versions the result is `false`.
 */
export const isOlder = (a: ResourceVersion, b: ResourceVersion): boolean =>
  decimal.test(a) && decimal.test(b) && (a.length === b.length ? a < b : a.length < b.length)
