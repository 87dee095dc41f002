/** The parts of a write request other than its path: the precondition `If-Match` and the query. */
import { Schema, SchemaTransformation } from "effect"
import { maxReplicaCount, ReplicaCount } from "./Names.ts"

/** `If-Match` of a write: the count that the deployment must have, or `*` for any. */
export const Precondition = Schema.Union([Schema.Literal("*"), ReplicaCount])
export type Precondition = typeof Precondition.Type

/** A precondition as `If-Match` holds it: the entity tag of a count, which is the count in quotes, or `*`. */
export const PreconditionText = Schema.String.check(
  Schema.isPattern(/^(?:\*|"(?:0|[1-9][0-9]{0,9})")$/u, {
    expected: `one entity tag that is a decimal integer 0..${maxReplicaCount}, such as "12", or *`,
    description:
      'The entity tag of the expected count, such as `"12"`. The write is carried out only if the deployment has this desired count at that moment. `*` means any count. A weak tag and a list of tags are refused.',
    examples: ['"12"', "*"]
  })
).pipe(
  Schema.decodeTo(
    Precondition,
    SchemaTransformation.transform({
      decode: (text) => (text === "*" ? text : Number(text.slice(1, -1))),
      encode: (precondition) => (precondition === "*" ? precondition : `"${precondition}"`)
    })
  )
)

/** The text of a precondition in `If-Match`. */
export const preconditionText = Schema.encodeSync(PreconditionText)

/**
 * The response field of a conditional write that wrote nothing, because the deployment already had the count to set instead
 * of the expected count. It distinguishes a repeated write from the first.
 */
export const alreadySetField = "X-Already-Set"

/** The header fields of a write. */
export const WriteHeaders = Schema.Struct({ "if-match": Schema.optionalKey(PreconditionText) })

/** The name of the parameter that makes a write a dry run, and its only value. */
export const dryRunParameter = "dryRun"
export const dryRunValue = "All"

/** The query of a write. Any other parameter is refused. */
export const WriteQuery = Schema.Struct({
  [dryRunParameter]: Schema.optionalKey(
    Schema.Literal(dryRunValue).annotate({
      expected: dryRunValue,
      description: "The cluster checks the write and changes nothing. `All` is the only value.",
      examples: [dryRunValue]
    })
  )
})
