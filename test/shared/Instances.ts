import { assert } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Layer, Scope } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { CacheObserver, ClusterCache } from "../../src/cache/ClusterCache.ts"
import * as View from "../../src/cache/ClusterView.ts"
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

/** A reader never leads. */
export type Role = "candidate" | "reader"

/** Between the checks of an instance that applies no event. */
const checkEvery = Duration.millis(25)

/** Starts an instance, and checks all that it shows. */
export const start = Effect.fnUntraced(function* (
  options: SharedCacheOptions,
  cluster: ScriptedCluster,
  role: Role = "candidate"
) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  return yield* Effect.gen(function* () {
    const watchdog = makeWatchdog()
    let cache: ClusterCache["Service"] | undefined
    let isChecking = false
    let before = { view: View.empty, state: shown(View.empty) }
    const check = (after: string) => {
      isChecking = false
      if (cache?.isSynced() !== true) return
      const view = cache.current()
      if (view !== before.view) {
        before = { view, state: shown(view) }
        watchdog.check(before.state, after)
      }
      const { state } = before
      watchdog.checkAge(cluster.history.ageOf(state, performance.now()), cache.age(), after)
    }
    const observe = ({ _tag }: ClusterEvent) => {
      if (isChecking) return
      isChecking = true
      // By then the view is in place.
      queueMicrotask(() => check(_tag))
    }
    const events = role === "reader" ? SharedCache.events(options) : SharedCache.eventsOf(options, cluster.source)
    const services = yield* Layer.build(
      ClusterCache.layer(events).pipe(
        Layer.provide(Layer.succeed(CacheObserver, { applied: observe })),
        Layer.provide(ClusterIdentity.layerOf(own)),
        Layer.provide(NodeServices.layer)
      )
    )
    cache = Context.get(services, ClusterCache)
    const poll = Effect.andThen(
      Effect.sleep(checkEvery),
      Effect.sync(() => check("a poll"))
    )
    yield* Effect.forkScoped(Effect.forever(poll))
    return { cache, violations: watchdog.violations, close: Scope.close(scope, Exit.void) } satisfies Instance
  }).pipe(Scope.provide(scope))
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
      caches: instances.map(({ cache }) => ({ ...shown(cache.current()), age: cache.age() }))
    }),
    (state) => {
      const expected = { ...truth(cluster), age: 0 }
      assert.deepStrictEqual(state, { leaders: 1, caches: instances.map(() => expected) }, steps)
    },
    // A busy machine that misses heartbeats gets there all the same.
    90_000
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
