import { assert } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { CacheObserver, ClusterCache } from "../../src/cache/ClusterCache.ts"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import * as ClusterIdentity from "../../src/model/ClusterIdentity.ts"
import * as SharedLog from "../../src/shared/SharedLog.ts"
import * as SharedCache from "../../src/shared/SharedCache.ts"
import type { SharedCacheOptions } from "../../src/shared/SharedCacheOptions.ts"
import { eventually } from "../support/Eventually.ts"
import { own } from "./Clusters.ts"
import type { ScriptedCluster } from "./ScriptedCluster.ts"
import { makeWatchdog, shown, truth } from "./Shown.ts"

/** One instance: its cache, and the violations seen in it. */
export interface Instance {
  readonly cache: ClusterCache["Service"]
  readonly violations: ReadonlyArray<string>
  readonly close: Effect.Effect<void>
}

/** Starts an instance; one without a cluster only reads. */
export const start = Effect.fnUntraced(function* (options: SharedCacheOptions, cluster: ScriptedCluster | undefined) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const { check, violations } = makeWatchdog()
  let cache: ClusterCache["Service"] | undefined
  const observe = (event: ClusterEvent) => {
    if (cache?.isSynced() === true) check(shown(cache.current()), event._tag)
  }
  const events = cluster === undefined ? SharedCache.events(options) : SharedCache.eventsOf(options, cluster.source)
  const services = yield* Layer.buildWithScope(
    ClusterCache.layer(events).pipe(
      Layer.provide(Layer.succeed(CacheObserver, { applied: observe })),
      Layer.provide(ClusterIdentity.layerOf(own)),
      Layer.provide(NodeServices.layer)
    ),
    scope
  )
  cache = Context.get(services, ClusterCache)
  return { cache, violations, close: Scope.close(scope, Exit.void) } satisfies Instance
})

export const untilSynced = (instances: ReadonlyArray<Instance>) =>
  eventually(
    () => instances.map(({ cache }) => cache.isSynced()),
    (synced) => synced.every(Boolean)
  )

/** Waits until there is one leader and the caches are current and equal the cluster. A failure names the `steps`. */
export const untilConverged = (instances: ReadonlyArray<Instance>, cluster: ScriptedCluster, steps: string) =>
  eventually(
    () => ({
      leaders: cluster.runs.now,
      caches: instances.map(({ cache }) => ({ ...shown(cache.current()), age: cache.age(Date.now()) }))
    }),
    (state) => {
      const expected = { ...truth(cluster), age: 0 }
      assert.deepStrictEqual(state, { leaders: 1, caches: instances.map(() => expected) }, steps)
    }
  )

const isEntry = (entry: unknown): entry is readonly [id: string, fields: ReadonlyArray<string>] =>
  Array.isArray(entry) && typeof entry[0] === "string" && Array.isArray(entry[1])

/**
 * The epochs of a log, from the reply to `XRANGE`: the number and the times of each one's first and last entry, by Redis'
 * clock. Fails unless each leader numbered its entries from 0 without a gap.
 */
export const epochsOf = (entries: unknown) => {
  const epochs: Array<{ readonly epoch: number; readonly firstAt: number; lastAt: number }> = []
  let before: SharedLog.LogId = SharedLog.start
  assert.isTrue(Array.isArray(entries))
  for (const entry of Array.isArray(entries) ? entries : []) {
    const id = SharedLog.parseId(isEntry(entry) ? entry[0] : undefined)
    if (!isEntry(entry) || id._tag === "None") throw new Error(`no entry of the log: ${JSON.stringify(entry)}`)
    const { value } = id
    assert.isTrue(SharedLog.follows(value, before), `${SharedLog.formatId(value)} after ${SharedLog.formatId(before)}`)
    const at = Number(entry[1][1])
    const last = epochs.at(-1)
    if (last === undefined || value.seq === 0) epochs.push({ epoch: value.epoch, firstAt: at, lastAt: at })
    else last.lastAt = at
    before = value
  }
  return epochs
}
