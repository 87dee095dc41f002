/** The parts of the OpenAPI document beyond the schemas: mutual TLS, response headers, licence and server. */
import { Predicate, SchemaAST } from "effect"
import { OpenApi } from "effect/http-api"
import { merged, withInlineTexts } from "./MergedOperations.ts"
import { ReplicaCount } from "./Names.ts"
import { alreadySetField } from "./Preconditions.ts"
import { membersOf, type Problem, problems } from "./Problems.ts"

type Json = Readonly<Record<string, unknown>>

const scheme = "mutualTLS"

const requestId = {
  description: "The caller's `X-Request-Id` if it is 1-128 of `[A-Za-z0-9._-]`, else a new one.",
  required: true,
  schema: { type: "string" }
}

const age = {
  description: "Whole seconds since the cluster was last heard; 0 while the watch is live.",
  required: true,
  schema: { type: "integer", minimum: 0 }
}

const text = (description: string) => ({ description, schema: { type: "string" } })

const retryAfter = {
  "Retry-After": {
    description: "Whole seconds after which the request may succeed.",
    required: true,
    schema: { type: "integer", minimum: 1 }
  }
}

const rateLimit = {
  RateLimit: text("The bucket's state (draft-ietf-httpapi-ratelimit-headers-10)."),
  "RateLimit-Policy": text("The bucket's size and window (draft-ietf-httpapi-ratelimit-headers-10).")
}

const alreadySet = {
  [alreadySetField]: {
    description:
      "`true` if the deployment did not have the count of `If-Match` but already had the count to set, as after a repeated write. Nothing was written. A client that increments must try again from this count.",
    required: false,
    schema: { type: "string", enum: ["true"] }
  }
}

const validators = {
  Age: age,
  ETag: text(
    'The entity tag of the body. For a single replica count it is the count, such as `"12"`. Not on event streams.'
  ),
  "Cache-Control": text("`private, no-cache`: a stored response is revalidated before each use."),
  Vary: text("`accept`: the same URL also serves an event stream."),
  "Preference-Applied": text("`wait=N`: the response has waited up to N seconds for a change.")
}

const headersOf = (status: string, kind: OperationKind): Json => ({
  "X-Request-Id": requestId,
  ...(kind === "read" && (status === "200" || status === "304") ? validators : {}),
  ...(kind === "write" && status === "200" ? alreadySet : {}),
  ...(status === "429" || status === "503" ? retryAfter : {}),
  ...(status === "429" ? rateLimit : {})
})

const entriesOf = (value: unknown): ReadonlyArray<readonly [string, unknown]> =>
  Predicate.isObject(value) ? Object.entries(value) : []

/**
 * The kind of an operation: a read carries `Age` and `ETag`, a write may carry `X-Already-Set`, a probe needs no identity.
 */
export type OperationKind = "read" | "write" | "probe" | "other"

/** Annotates an operation with its summary, description, security requirement and response headers. */
export const describeOperation = (summary: string, description: string, kind: OperationKind = "other") =>
  OpenApi.annotations({
    summary,
    description,
    transform: (operation: Json) => ({
      ...operation,
      security: kind === "probe" ? [] : [{ [scheme]: [] }],
      responses: Object.fromEntries(
        entriesOf(operation["responses"]).map(([status, response]) => [
          status,
          { ...Object.fromEntries(entriesOf(response)), headers: headersOf(status, kind) }
        ])
      )
    })
  })

// Effect names the encoded form of a class after the class, with this suffix.
const withoutSuffix = (name: string): string => name.replace(/Encoded$/, "")

/**
 * A schema with published names, and open to new members: a client must ignore members that it does not know.
 */
const published = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(published)
  if (!Predicate.isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, member]) => name !== "additionalProperties" || member !== false)
      .map(([name, member]) => [
        name,
        name === "$ref" && typeof member === "string" ? withoutSuffix(member) : published(member)
      ])
  )
}

/**
 * The errors as the server sends them, with every member. Their schemas require fewer members: RFC 9457 allows a
 * problem without `title` or `status`.
 */
const { PreconditionFailed, ...plain } = problems
const samples: ReadonlyArray<Problem> = [
  ...Object.values(plain).map((problem) => new problem({})),
  new PreconditionFailed({ current: ReplicaCount.make(13) })
]
const sentProblems = new Map<string, Json>(
  samples.map((problem) => {
    const description = SchemaAST.resolveDescription(problems[problem.code].ast) ?? ""
    const example = membersOf(problem, description, "3a1f9c52-request-id")
    return [problem.code, { description, required: Object.keys(example), examples: [example] }]
  })
)

const publishedSchemas = (components: unknown): Json =>
  Object.fromEntries(
    entriesOf(Predicate.hasProperty(components, "schemas") ? components.schemas : undefined)
      .map(([encoded, schema]) => {
        const name = withoutSuffix(encoded)
        return [name, { ...Object.fromEntries(entriesOf(published(schema))), ...sentProblems.get(name) }] as const
      })
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
  )

/**
 * Annotates an API with the parts of its document other than the endpoints. Merges the operations of `variants` into the
 * document.
 */
export const describeApi = (
  title: string,
  description: string,
  variants: () => ReadonlyArray<OpenApi.OpenAPISpec> = () => []
) =>
  OpenApi.annotations({
    title,
    version: "1.0.0",
    description,
    license: { name: "MIT", url: "https://opensource.org/license/mit" },
    servers: [{ url: "/", description: "The server that this document comes from." }],
    transform: (own: Json) => {
      const document = variants().reduce((all: Json, variant) => merged(all, withInlineTexts({ ...variant })), own)
      return {
        ...document,
        paths: published(document["paths"]),
        components: {
          schemas: publishedSchemas(document["components"]),
          securitySchemes: {
            [scheme]: {
              type: scheme,
              description: "A client certificate of the company's CA: CN the user, each O a group."
            }
          }
        },
        security: [{ [scheme]: [] }]
      }
    }
  })
