import { Effect, Layer, Metric, PartitionedSemaphore } from "effect"
import { DeploymentScaler } from "../model/DeploymentScaler.ts"
import { ClusterUnavailable } from "../contract/Problems.ts"
import * as Metrics from "../observability/Metrics.ts"
import { RequestContext } from "../identity/RequestContext.ts"

/** Limits of writes to the cluster, named as the settings. */
export interface ClusterWriteLimits {
  readonly maxClusterWrites: number
  readonly maxQueuedWrites: number
}

const refusedWrites = Metric.counter("cluster_writes_refused_total", {
  description: "Writes refused because the queue was full, or the user's share of it.",
  incremental: true
})

const queueFull = new ClusterUnavailable({
  detail: "Too many writes wait for the cluster already; nothing was set."
})

/**
 * Limits a `DeploymentScaler`: at most `maxClusterWrites` run, and at most `maxQueuedWrites` wait in a queue. A further
 * write fails immediately with `ClusterUnavailable`. Users take turns, and none holds more than half of all places. A
 * queued write can be interrupted, also in an uninterruptible region: it has not been sent.
 */
export const layer = (limits: ClusterWriteLimits) =>
  Layer.effect(
    DeploymentScaler,
    Effect.gen(function* () {
      const scaler = yield* DeploymentScaler
      const turns = yield* PartitionedSemaphore.make<string>({ permits: limits.maxClusterWrites })
      const places = limits.maxClusterWrites + limits.maxQueuedWrites
      // A single user may at least use all concurrent writes.
      const share = Math.max(limits.maxClusterWrites, Math.ceil(places / 2))
      const held = new Map<string, number>()
      let present = 0
      yield* Metric.update(refusedWrites, 0)
      yield* Metrics.gauge(
        {
          name: "cluster_writes_present",
          description: "Writes in progress or in the queue."
        },
        () => present
      )

      const enter = (user: string) =>
        Effect.suspend(() => {
          const own = held.get(user) ?? 0
          if (present >= places || own >= share) return Effect.as(Metric.update(refusedWrites, 1), false)
          present++
          held.set(user, own + 1)
          return Effect.succeed(true)
        })
      const leave = (user: string) =>
        Effect.sync(() => {
          const others = (held.get(user) ?? 1) - 1
          present--
          if (others === 0) held.delete(user)
          else held.set(user, others)
        })

      return {
        scale: (ref, replicas, options) =>
          Effect.flatMap(RequestContext, ({ identity }) => {
            const user = identity?.user ?? ""
            return Effect.uninterruptibleMask((restore) =>
              Effect.flatMap(enter(user), (entered) =>
                entered
                  ? Effect.interruptible(turns.take(user, 1)).pipe(
                      Effect.andThen(Effect.ensuring(restore(scaler.scale(ref, replicas, options)), turns.release(1))),
                      Effect.ensuring(leave(user))
                    )
                  : Effect.fail(queueFull)
              )
            )
          })
      }
    })
  )
