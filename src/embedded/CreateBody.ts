import { Effect, Schema } from "effect"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import { ReplicaCount } from "../contract/Names.ts"
import { type KubeStatus, statusOf } from "./KubeStatus.ts"

const body = <S extends Schema.Top>(name: S) =>
  Schema.fromJsonString(
    Schema.Struct({
      metadata: Schema.Struct({ name }),
      spec: Schema.optionalKey(Schema.Struct({ replicas: Schema.optionalKey(ReplicaCount) }))
    })
  )

const decodeNamespace = Schema.decodeUnknownEffect(body(NamespaceName))
const decodeDeployment = Schema.decodeUnknownEffect(body(DeploymentName))

/** A new object, as far as the embedded cluster keeps it; `replicas` undefined: the body says nothing of it. */
export interface Creation {
  readonly name: string
  readonly replicas: number | undefined
}

/** Reads the object of a POST. Fails with 400 for what is none. */
export const decodeCreation = Effect.fnUntraced(function* (
  resource: WatchedResource,
  text: string
): Effect.fn.Return<Creation, KubeStatus> {
  const unrecognized = (error: Schema.SchemaError) =>
    statusOf(400, `the object provided is unrecognized: ${error.message}`)
  const { metadata, spec } =
    resource === "namespaces"
      ? yield* Effect.mapError(decodeNamespace(text), unrecognized)
      : yield* Effect.mapError(decodeDeployment(text), unrecognized)
  return { name: metadata.name, replicas: spec?.replicas }
})
