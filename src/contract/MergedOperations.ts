/**
 * Merges the endpoints that share a path and a method into one operation, because OpenAPI allows only one. It has the
 * parameters and the responses of all of them.
 */
import { Predicate } from "effect"

type Json = Readonly<Record<string, unknown>>

const membersOf = (value: unknown): Json => (Predicate.isObject(value) ? Object.fromEntries(Object.entries(value)) : {})

const listOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

/** Merges two objects. `merge` combines the members with the same key. */
const both = (a: unknown, b: unknown, merge: (a: unknown, b: unknown) => unknown): Json => {
  const all: Record<string, unknown> = { ...membersOf(a) }
  for (const [name, value] of Object.entries(membersOf(b))) all[name] = name in all ? merge(all[name], value) : value
  return all
}

const first = (a: unknown): unknown => a

const response = (a: unknown, b: unknown): Json => ({
  ...membersOf(a),
  content: both(membersOf(a)["content"], membersOf(b)["content"], first)
})

const nameOf = (parameter: unknown): unknown => membersOf(parameter)["name"]

const operation = (a: unknown, b: unknown): Json => {
  const own = listOf(membersOf(a)["parameters"])
  const names = new Set(own.map(nameOf))
  const parameters = listOf(membersOf(b)["parameters"]).filter((parameter) => !names.has(nameOf(parameter)))
  return {
    ...membersOf(a),
    parameters: [...own, ...parameters],
    responses: both(membersOf(a)["responses"], membersOf(b)["responses"], response)
  }
}

/** The document with the parameters, responses and schemas that the operations of `variant` add to its own. */
export const merged = (document: Json, variant: Json): Json => ({
  ...document,
  paths: both(document["paths"], variant["paths"], (a, b) => both(a, b, operation)),
  components: both(document["components"], variant["components"], (a, b) => both(a, b, first))
})

const isText = (schema: unknown): boolean => "contentMediaType" in membersOf(schema)

/**
 * Replaces references to schemas of JSON texts with the schemas themselves. Effect gives the schema of the text and the
 * schema of its content the name of the same class.
 */
export const withInlineTexts = (document: Json): Json => {
  const schemas = membersOf(membersOf(document["components"])["schemas"])
  const texts = new Map(Object.entries(schemas).filter(([, schema]) => isText(schema)))
  const inline = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(inline)
    if (!Predicate.isObject(value)) return value
    const reference = membersOf(value)["$ref"]
    const text = typeof reference === "string" ? texts.get(reference.split("/").at(-1) ?? "") : undefined
    return (
      text ??
      Object.fromEntries(
        Object.entries(value)
          // Effect's failure event is not used: streams fail before they start, and end with an event of their own.
          .filter(([name]) => name !== "x-effect-stream")
          .map(([name, member]) => [name, inline(member)])
      )
    )
  }
  const kept = Object.fromEntries(Object.entries(schemas).filter(([name]) => !texts.has(name)))
  return { ...membersOf(inline({ ...document, components: {} })), components: { schemas: kept } }
}
