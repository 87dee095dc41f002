/** The responses that show the changes of a cluster. */
import { Effect, Schema } from "effect"
import { agent, send } from "../test/support/Https.ts"
import { monotonicMicros } from "./MonotonicClock.ts"
import type { Server } from "./Programs.ts"

/** The deployment whose changes are timed. */
const probe = "/namespaces/load-00000/deployments/deployment-00000/replica_count"

const decodeCount = Schema.decodeEffect(Schema.fromJsonString(Schema.Struct({ replica_count: Schema.Number })))
/** The counts of the probe, and when each was seen first. */
export interface Seen {
  readonly counts: ReadonlyArray<{ readonly count: number; readonly at: number }>
  /** The latency of each GET in milliseconds. */
  readonly millis: ReadonlyArray<number>
}

/** Reads the probe again and again, one GET at a time over one connection, with a pause between two. */
export const watchProbe = Effect.fnUntraced(function* (
  { port }: Server,
  from: number,
  seconds: number,
  pauseMillis = 0
) {
  const pool = yield* agent("viewer", 1)
  const counts: Array<Seen["counts"][number]> = []
  const millis: Array<number> = []
  const end = performance.now() + seconds * 1000
  while (performance.now() < end) {
    const sent = performance.now()
    const { body } = yield* send(port, { client: "viewer", path: probe, agent: pool })
    millis.push(performance.now() - sent)
    const { replica_count } = yield* decodeCount(body)
    if (replica_count !== counts.at(-1)?.count) counts.push({ count: replica_count, at: monotonicMicros() - from })
    if (pauseMillis > 0) yield* Effect.sleep(pauseMillis)
  }
  return { counts, millis } satisfies Seen
})

/** The milliseconds from each change of the probe until all observers have seen it or a later one. */
export const visibleMillis = (probed: ReadonlyArray<number>, observers: ReadonlyArray<Seen>) =>
  Effect.forEach(probed, (changed) => {
    const firsts = observers.flatMap(
      ({ counts }) => counts.find(({ at, count }) => count >= changed && at >= changed) ?? []
    )
    return firsts.length < observers.length
      ? Effect.die(new Error("a change never became visible"))
      : Effect.succeed((Math.max(...firsts.map(({ at }) => at)) - changed) / 1000)
  })
