/**
 * Reads and decodes request bodies. Invalid ones fail with the Status that kube-apiserver responds with.
 */
import type { IncomingMessage } from "node:http"
import { Effect, Schema } from "effect"
import { DeploymentName, maxReplicaCount, NamespaceName, ReplicaCount } from "../contract/Names.ts"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import { uidOf } from "./KubeObjects.ts"
import { type KubeStatus, statusOf } from "./KubeStatus.ts"

const largestBody = 3 * 1024 * 1024

/**
 * The whole body as text. Fails with 413 above 3 MB, as kube-apiserver does. Does not complete when the connection is
 * lost: the request's fiber is interrupted then.
 */
export const readBody = (request: IncomingMessage): Effect.Effect<string, KubeStatus> =>
  Effect.callback<string, KubeStatus>((resume) => {
    const chunks: Array<Buffer> = []
    let size = 0
    const onData = (chunk: Buffer): void => {
      size += chunk.length
      if (size <= largestBody) chunks.push(chunk)
    }
    const onEnd = (): void => {
      resume(
        size <= largestBody
          ? Effect.succeed(Buffer.concat(chunks).toString("utf8"))
          : Effect.fail(statusOf(413, "the request body is too large, the limit is 3145728"))
      )
    }
    request.on("data", onData)
    request.once("end", onEnd)
    return Effect.sync(() => {
      request.off("data", onData)
      request.off("end", onEnd)
    })
  })

const createBody = <S extends Schema.Top>(name: S) =>
  Schema.fromJsonString(
    Schema.Struct({
      metadata: Schema.Struct({ name }),
      spec: Schema.optionalKey(Schema.Struct({ replicas: Schema.optionalKey(ReplicaCount) }))
    })
  )

const decodeNamespace = Schema.decodeUnknownEffect(createBody(NamespaceName))
const decodeDeployment = Schema.decodeUnknownEffect(createBody(DeploymentName))

/** The fields of a new object that the embedded cluster keeps. `replicas` is undefined if the body has none. */
export interface Creation {
  readonly name: string
  readonly replicas: number | undefined
}

/** Decodes the object of a POST. Fails with 400. */
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

const ScaleBody = Schema.fromJsonString(
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

const decodeScale = Schema.decodeUnknownEffect(ScaleBody)

/** A write of the scale subresource. `replicas` is undefined if the body has none. */
export interface ScaleWrite {
  readonly replicas: number | undefined
  /** Precondition: the current version of the object. */
  readonly resourceVersion: string | undefined
}

/**
 * Decodes a Scale or a merge patch of one. Fails with 400 (an int32 overflow, too), or with 422 for a negative count.
 */
export const decodeScaleWrite = Effect.fnUntraced(function* (
  name: string,
  body: string
): Effect.fn.Return<ScaleWrite, KubeStatus> {
  const scale = yield* decodeScale(body).pipe(
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

/** An Event that a client posted. `group` is empty for core/v1. */
export interface RecordedEvent {
  readonly group: "" | "events.k8s.io"
  readonly namespace: string
  readonly name: string
  /** The whole object as in the response. */
  readonly object: Schema.Json
}

const Metadata = Schema.Struct({
  name: Schema.optionalKey(Schema.String),
  generateName: Schema.optionalKey(Schema.String),
  namespace: Schema.optionalKey(Schema.String)
})

const EventBody = Schema.fromJsonString(
  Schema.StructWithRest(
    Schema.Struct({
      metadata: Metadata,
      eventTime: Schema.optionalKey(Schema.NullOr(Schema.String)),
      type: Schema.optionalKey(Schema.String),
      action: Schema.optionalKey(Schema.String),
      reason: Schema.optionalKey(Schema.String),
      reportingController: Schema.optionalKey(Schema.String),
      reportingInstance: Schema.optionalKey(Schema.String)
    }),
    [Schema.Record(Schema.String, Schema.Json)]
  )
)

const decodeEvent = Schema.decodeUnknownEffect(EventBody)

/**
 * Decodes and completes a posted Event. Fails with 400 for an object that is no Event or has another namespace, and
 * with 422 without a name or, in `events.k8s.io`, without a field that is required there.
 */
export const recordEvent = Effect.fnUntraced(function* (
  group: "" | "events.k8s.io",
  namespace: string,
  body: string,
  resourceVersion: number
): Effect.fn.Return<RecordedEvent, KubeStatus> {
  const event = yield* decodeEvent(body).pipe(
    Effect.mapError((error) => statusOf(400, `Event in version "v1" cannot be handled as a Event: ${error.message}`))
  )
  const { metadata } = event
  if (metadata.namespace !== undefined && metadata.namespace !== namespace) {
    return yield* statusOf(400, `the namespace of the provided object does not match the namespace sent on the request`)
  }
  const suffix = resourceVersion.toString(36).padStart(5, "0")
  const name = metadata.name ?? (metadata.generateName === undefined ? "" : `${metadata.generateName}${suffix}`)
  const required: ReadonlyArray<readonly [string, string | null | undefined]> =
    group === ""
      ? []
      : [
          ["eventTime", event.eventTime],
          ["reportingController", event.reportingController],
          ["reportingInstance", event.reportingInstance],
          ["action", event.action],
          ["reason", event.reason],
          ["type", event.type]
        ]
  const missing = [["metadata.name", name] as const, ...required].filter(
    ([, value]) => value === undefined || value === null || value === ""
  )
  if (missing.length > 0) {
    const causes = missing.map(([field]) => ({ reason: "FieldValueRequired", message: "Required value", field }))
    return yield* statusOf(
      422,
      `Event ${JSON.stringify(name)} is invalid: ${causes.map(({ field }) => `${field}: Required value`).join(", ")}`,
      { name, kind: "Event", causes }
    )
  }
  const object = {
    ...event,
    kind: "Event",
    apiVersion: group === "" ? "v1" : "events.k8s.io/v1",
    metadata: {
      ...metadata,
      name,
      namespace,
      uid: uidOf(resourceVersion),
      resourceVersion: String(resourceVersion)
    }
  }
  return { group, namespace, name, object }
})
