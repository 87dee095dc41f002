/** Reads with entity tags: a body with its tag, and a body only if its tag has changed. */
import { Duration, Effect, Option, Schema } from "effect"
import type { HttpClientResponse } from "effect/http"
import { HttpApiClient, type HttpApiSchema } from "effect/http-api"
import type { Api } from "../contract/Api.ts"
import { EntityTag } from "../contract/EntityTag.ts"
import { ConditionalReads } from "../contract/Reads.ts"
import type { InNamespace, Named, OfDeployment } from "./Requests.ts"

/** A body and its entity tag. */
export interface Tagged<Body> {
  readonly etag: EntityTag
  readonly body: Body
}

/** The entity tag of the caller's body, and the time to wait for a new body. */
export interface Condition {
  readonly etag: EntityTag
  /** Rounded up to whole seconds. The service has a maximum, by default 60 seconds. Unset: the read does not wait. */
  readonly wait?: Duration.Input
}

const decodeTag = Schema.decodeUnknownEffect(EntityTag)

const tagged = <Body, E>(
  call: Effect.Effect<[Body, HttpClientResponse.HttpClientResponse], E>
): Effect.Effect<Tagged<Body>, E | Schema.SchemaError> =>
  Effect.flatMap(call, ([body, { headers }]) => Effect.map(decodeTag(headers["etag"]), (etag) => ({ etag, body })))

const withResponse = { responseMode: "decoded-and-response" } as const

/** The plain reads, each with the entity tag of its body. */
export const taggedReads = (plain: HttpApiClient.ForApi<typeof Api>) => ({
  listNamespaces: () => tagged(plain.listNamespaces(withResponse)),
  listDeployments: ({ params }: InNamespace) => tagged(plain.listDeployments({ params, ...withResponse })),
  listAllDeployments: () => tagged(plain.listAllDeployments(withResponse)),
  getReplicaCount: ({ params }: OfDeployment) => tagged(plain.getReplicaCount({ params, ...withResponse })),
  listReplicaCounts: ({ params }: InNamespace) => tagged(plain.listReplicaCounts({ params, ...withResponse })),
  listAllReplicaCounts: () => tagged(plain.listAllReplicaCounts(withResponse)),
  findReplicaCounts: ({ params }: Named) => tagged(plain.findReplicaCounts({ params, ...withResponse }))
})

const headersOf = ({ etag, wait }: Condition) => ({
  "if-none-match": etag,
  ...(wait === undefined ? {} : { prefer: `wait=${Math.ceil(Duration.toSeconds(Duration.fromInputUnsafe(wait)))}` })
})

const changed = <Body, E, R>(
  call: Effect.Effect<HttpApiSchema.withHeaders<Body, { readonly etag: EntityTag }> | void, E, R>
): Effect.Effect<Option.Option<Tagged<Body>>, E, R> =>
  Effect.map(call, (response) =>
    response === undefined ? Option.none() : Option.some({ etag: response.headers.etag, body: response.body })
  )

/** The conditional reads: `Option.none()` if the body has not changed. */
export const changedReads = (conditional: HttpApiClient.ForApi<typeof ConditionalReads>) => ({
  listNamespaces: (condition: Condition) => changed(conditional.listNamespaces({ headers: headersOf(condition) })),
  listDeployments: ({ params, ...condition }: InNamespace & Condition) =>
    changed(conditional.listDeployments({ params, headers: headersOf(condition) })),
  listAllDeployments: (condition: Condition) =>
    changed(conditional.listAllDeployments({ headers: headersOf(condition) })),
  getReplicaCount: ({ params, ...condition }: OfDeployment & Condition) =>
    changed(conditional.getReplicaCount({ params, headers: headersOf(condition) })),
  listReplicaCounts: ({ params, ...condition }: InNamespace & Condition) =>
    changed(conditional.listReplicaCounts({ params, headers: headersOf(condition) })),
  listAllReplicaCounts: (condition: Condition) =>
    changed(conditional.listAllReplicaCounts({ headers: headersOf(condition) })),
  findReplicaCounts: ({ params, ...condition }: Named & Condition) =>
    changed(conditional.findReplicaCounts({ params, headers: headersOf(condition) }))
})
