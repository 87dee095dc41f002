import { type Cause, DateTime, Effect, Fiber, Layer, Metric, Queue, Schedule } from "effect"
import { hostname } from "node:os"
import { EventRecorder, type Scaling } from "../model/EventRecorder.ts"
import { fieldManager, KubeApi, type KubeEvent } from "./KubeApi.ts"
import type { KubeError } from "./KubeErrors.ts"

/** Maximum length of the queue. More Events are dropped: the audit log is the record, Events are a convenience. */
const longestQueue = 1000

const longestMessage = 1024
const longestName = 253

/** Events by outcome: recorded, failed or dropped. */
export const auditEvents = Metric.counter("audit_events_total", {
  description: "Kubernetes Events of accepted writes, by outcome.",
  incremental: true
})

const recorded = Metric.withAttributes(auditEvents, { outcome: "recorded" })
const failed = Metric.withAttributes(auditEvents, { outcome: "failed" })
const dropped = Metric.withAttributes(auditEvents, { outcome: "dropped" })

// Only transient errors are retried.
const retries = Schedule.exponential("200 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 4 }))

const isTransient = (error: KubeError): boolean =>
  error._tag === "KubeUnreachable" || (error._tag === "KubeStatusError" && (error.code === 429 || error.code >= 500))

const messageOf = ({ from, groups, requestId, to, user }: Scaling): string => {
  const what = from === undefined ? `Replica count set to ${to}` : `Replica count set from ${from} to ${to}`
  const who = groups.length === 0 ? user : `${user} (${groups.join(", ")})`
  const text = `${what} by ${who}, request ${requestId}`
  return text.length > longestMessage ? `${text.slice(0, longestMessage - 1)}…` : text
}

/** The Event, named as client-go's recorder does. `serial` distinguishes Events of the same millisecond. */
export const eventOf = (scaling: Scaling, host: string, serial: number): KubeEvent => {
  const { at, ref, resourceVersion, uid } = scaling
  const suffix = `.${at.toString(16)}${(serial % 4096).toString(16).padStart(3, "0")}`
  // A truncated name must end in an alphanumeric character.
  const name = ref.name.slice(0, longestName - suffix.length).replace(/[^a-z0-9]+$/, "")
  const time = `${DateTime.formatIso(DateTime.makeUnsafe(at)).slice(0, 19)}Z`
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: { namespace: ref.namespace, name: `${name}${suffix}` },
    involvedObject: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      namespace: ref.namespace,
      name: ref.name,
      ...(uid === undefined ? {} : { uid }),
      resourceVersion
    },
    type: "Normal",
    reason: "ReplicaCountSet",
    message: messageOf(scaling),
    source: { component: fieldManager, host },
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
    reportingComponent: fieldManager,
    reportingInstance: host
  }
}

/**
 * `EventRecorder` over `KubeApi`: one Event on the deployment for each scaling, in order, in the background. An Event
 * that still fails after a few attempts is logged and dropped. On shutdown the queue has five seconds to drain.
 */
export const layer: Layer.Layer<EventRecorder, never, KubeApi> = Layer.effect(
  EventRecorder,
  Effect.gen(function* () {
    const api = yield* KubeApi
    const host = hostname()
    const queue = yield* Queue.dropping<Scaling, Cause.Done>(longestQueue)
    let serial = 0
    const post = (scaling: Scaling) =>
      api.createEvent(eventOf(scaling, host, serial++)).pipe(
        Effect.retry({ schedule: retries, while: isTransient }),
        Effect.matchEffect({
          onSuccess: () => Metric.update(recorded, 1),
          onFailure: (error) =>
            Effect.andThen(
              Metric.update(failed, 1),
              Effect.logWarning("Cannot record an Event").pipe(
                Effect.annotateLogs({
                  namespace: scaling.ref.namespace,
                  deployment: scaling.ref.name,
                  requestId: scaling.requestId,
                  error: error.message
                })
              )
            )
        })
      )
    const posting = yield* Effect.forkScoped(Effect.ignore(Effect.forever(Effect.flatMap(Queue.take(queue), post))))
    yield* Effect.addFinalizer(() =>
      Effect.andThen(
        Queue.end(queue),
        Effect.timeoutOrElse(Fiber.await(posting), { duration: "5 seconds", orElse: () => Effect.void })
      )
    )
    return {
      record: (scaling) =>
        Effect.flatMap(
          Effect.sync(() => Queue.offerUnsafe(queue, scaling)),
          (taken) => (taken ? Effect.void : Metric.update(dropped, 1))
        )
    }
  })
)
