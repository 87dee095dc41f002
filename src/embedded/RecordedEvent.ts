import { Effect, Schema } from "effect"
import { uidOf } from "./KubeObjects.ts"
import { KubeStatus, statusOf } from "./KubeStatus.ts"

/** An Event that a client of the embedded cluster recorded. `group` is empty for core/v1. */
export interface RecordedEvent {
  readonly group: "" | "events.k8s.io"
  readonly namespace: string
  readonly name: string
  /** The whole object, as the server sent it back. */
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
 * Reads and completes a posted Event. Fails with the Status kube-apiserver answers: 400 for what is no Event or is of
 * another namespace, 422 for one without a name or, in `events.k8s.io`, without one of the fields required there.
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
