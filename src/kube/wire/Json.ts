/** Decoding of JSON as Go writes it. */
import { Result, Schema } from "effect"
import { withoutManagedFields } from "./ManagedFields.ts"
import type { Decoded } from "./ResourceKind.ts"

/** A value that encoding/json in Go may write as null or omit. */
export const absent = <S extends Schema.Top>(schema: S) => Schema.optional(Schema.NullOr(schema))

/** Decodes `schema`, then applies `project`. */
export const decoder = <A, B>(
  schema: Schema.Decoder<A>,
  project: (value: A) => B
): ((input: unknown) => Decoded<B>) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (input) => Result.mapBoth(decode(input), { onFailure: (issue) => issue.message, onSuccess: project })
}

/** Parses JSON without its `managedFields`. */
export const decodeJson: (text: string) => Decoded<unknown> = (() => {
  const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Unknown))
  return (text: string) => Result.mapError(decode(withoutManagedFields(text)), () => "not JSON")
})()
