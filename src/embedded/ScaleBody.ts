import { Effect, Schema } from "effect"
import { maxReplicaCount } from "../contract/Names.ts"
import { KubeStatus, statusOf } from "./KubeStatus.ts"

const Body = Schema.fromJsonString(
  Schema.Struct({
    metadata: Schema.optionalKey(Schema.NullOr(Schema.Struct({ resourceVersion: Schema.optionalKey(Schema.String) }))),
    spec: Schema.optionalKey(
      Schema.NullOr(
        Schema.Struct({
          replicas: Schema.optionalKey(
            Schema.NullOr(
              Schema.Int.check(Schema.isBetween({ minimum: -maxReplicaCount - 1, maximum: maxReplicaCount }))
            )
          )
        })
      )
    )
  })
)

const decode = Schema.decodeUnknownEffect(Body)

/** What a write of the scale subresource asks for; `replicas` undefined: the body says nothing of it. */
export interface ScaleWrite {
  readonly replicas: number | undefined
  /** The version the object must still have. */
  readonly resourceVersion: string | undefined
}

/**
 * Reads a Scale or a merge patch of one. Fails with the Status kube-apiserver answers: 400 for what does not decode
 * (an int32 overflow too), 422 for a negative count.
 */
export const decodeScaleWrite = Effect.fnUntraced(function* (
  name: string,
  body: string
): Effect.fn.Return<ScaleWrite, KubeStatus> {
  const scale = yield* decode(body).pipe(
    Effect.mapError((error) => statusOf(400, `Scale in version "v1" cannot be handled as a Scale: ${error.message}`))
  )
  // A null in a merge patch removes the field, and a Scale without the field asks for 0.
  const replicas = scale.spec?.replicas === null || scale.spec === null ? 0 : scale.spec?.replicas
  if (replicas !== undefined && replicas < 0) {
    const message = `Invalid value: ${replicas}: must be greater than or equal to 0`
    return yield* statusOf(422, `Scale.autoscaling ${JSON.stringify(name)} is invalid: spec.replicas: ${message}`, {
      name,
      group: "autoscaling",
      kind: "Scale",
      causes: [{ reason: "FieldValueInvalid", message, field: "spec.replicas" }]
    })
  }
  return { replicas, resourceVersion: scale.metadata?.resourceVersion }
})
