import { Schema } from "effect"
import type { Target } from "../../src/cache/Target.ts"

const Items = Schema.decodeUnknownSync(
  Schema.fromJsonString(
    Schema.Array(
      Schema.Struct({
        namespace: Schema.String,
        deployment: Schema.optionalKey(Schema.String),
        replica_count: Schema.optionalKey(Schema.Number),
        deleted: Schema.optionalKey(Schema.Boolean)
      })
    )
  )
)

const Count = Schema.Struct({ namespace: Schema.String, deployment: Schema.String, replica_count: Schema.Number })
const Names = Schema.Struct({ namespace: Schema.String, deployments: Schema.Array(Schema.String) })
const Counts = Schema.Struct({
  namespace: Schema.String,
  deployments: Schema.Array(Schema.Struct({ deployment: Schema.String, replica_count: Schema.Number }))
})
const decode = <A>(schema: Schema.Decoder<A>, body: string): A =>
  Schema.decodeUnknownSync(Schema.fromJsonString(schema))(body)

type Deployments = Map<string, number>

const sorted = <A>(map: ReadonlyMap<string, A>): ReadonlyArray<readonly [string, A]> =>
  [...map].sort(([a], [b]) => (a < b ? -1 : 1))

/** The namespaces of a body, with their deployments and counts. */
const read = (target: Target, body: string): Map<string, Deployments> => {
  const isWhole = target._tag !== "Namespaces" && target.namespace === "ANY"
  const many = <A>(schema: Schema.Decoder<A>): ReadonlyArray<A> =>
    isWhole ? decode(Schema.Array(schema), body) : [decode(schema, body)]
  switch (target._tag) {
    case "Namespaces":
      return new Map(
        decode(Schema.Struct({ namespaces: Schema.Array(Schema.String) }), body).namespaces.map((name) => [
          name,
          new Map()
        ])
      )
    case "Names":
      return new Map(
        many(Names).map(({ deployments, namespace }) => [namespace, new Map(deployments.map((name) => [name, 0]))])
      )
    case "Counts":
      return target.deployment === "ANY"
        ? new Map(
            many(Counts).map(({ deployments, namespace }) => [
              namespace,
              new Map(deployments.map(({ deployment, replica_count }) => [deployment, replica_count]))
            ])
          )
        : new Map(
            many(Count).map(({ deployment, namespace, replica_count }) => [
              namespace,
              new Map([[deployment, replica_count]])
            ])
          )
  }
}

const write = (target: Target, state: ReadonlyMap<string, Deployments>): string => {
  const one = <A>(items: ReadonlyArray<A>) =>
    JSON.stringify(target._tag !== "Namespaces" && target.namespace === "ANY" ? items : items[0])
  switch (target._tag) {
    case "Namespaces":
      return JSON.stringify({ namespaces: sorted(state).map(([name]) => name) })
    case "Names":
      return one(
        sorted(state).map(([namespace, deployments]) => ({
          namespace,
          deployments: sorted(deployments).map(([name]) => name)
        }))
      )
    case "Counts":
      return target.deployment === "ANY"
        ? one(
            sorted(state).map(([namespace, deployments]) => ({
              namespace,
              deployments: sorted(deployments).map(([deployment, replica_count]) => ({ deployment, replica_count }))
            }))
          )
        : one(
            sorted(state).flatMap(([namespace, deployments]) =>
              sorted(deployments).map(([deployment, replica_count]) => ({ namespace, deployment, replica_count }))
            )
          )
  }
}

/** The body after the items of a change, as a consumer applies them. */
export const applyItems = (target: Target, body: string, items: string): string => {
  const state = read(target, body)
  for (const { deleted, deployment, namespace, replica_count } of Items(items)) {
    if (deployment === undefined) {
      if (deleted === true) state.delete(namespace)
      else if (!state.has(namespace)) state.set(namespace, new Map())
    } else if (deleted === true) {
      state.get(namespace)?.delete(deployment)
    } else {
      const deployments = state.get(namespace) ?? new Map<string, number>()
      deployments.set(deployment, replica_count ?? 0)
      state.set(namespace, deployments)
    }
  }
  return write(target, state)
}
