import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Random } from "effect"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { keysOf } from "../../src/shared/redis/Keys.ts"
import { eventually } from "../support/Eventually.ts"
import { RedisServer, started } from "../support/RedisServer.ts"
import { act, paths, settingsOf, start, Step } from "./Faults.ts"
import { ScriptedCluster } from "./ScriptedCluster.ts"
import { epochsOf, untilConverged, untilSynced } from "./Instances.ts"
import { shown, truth } from "./Shown.ts"

/** Waits for another leader than the first `before` ones. */
const untilNextLeader = (cluster: ScriptedCluster, before: number) =>
  eventually(
    () => cluster.runs.all,
    (leaders) => leaders > before
  )

describe("instances that share a cache in Redis", () => {
  /** One after the other in each of several Redis servers. */
  const servers = 4
  const roundsEach = 25

  const round = Effect.fnUntraced(function* (
    redis: RedisServer["Service"],
    number: number,
    steps: ReadonlyArray<Step>,
    seed: string
  ) {
    const cluster = new ScriptedCluster()
    const installation = { cluster, redis, settings: settingsOf(redis, `round-${number}`) }
    const candidates = [yield* start(installation, "candidate"), yield* start(installation, "candidate")]
    const readers = [yield* start(installation, "reader")]
    const all = [...candidates, ...readers]
    yield* untilSynced(all)
    for (const step of steps) yield* act(step, installation, { candidates, readers, all })
    cluster.comeBack()
    // Every instance sees the last change only if there is a leader.
    cluster.put("keep/always")
    const what = `seed ${seed}: ${JSON.stringify(steps)}`
    yield* untilConverged([...candidates, ...readers], cluster, what)
    assert.deepStrictEqual(
      all.flatMap(({ violations }) => violations),
      [],
      what
    )
    // The leader alone runs the source.
    assert.strictEqual(cluster.runs.now, 1, what)
  }, Effect.scoped)

  it.live(
    "converge under any faults, never show an empty or older state, and never understate its age",
    () =>
      Effect.gen(function* () {
        const seed = String(yield* Random.nextInt)
        const sequences = yield* Arbitrary.sampleEffect(
          Arbitrary.array(Arbitrary.schema(Step), { minLength: 4, maxLength: 8 }),
          { count: servers * roundsEach, seed }
        )
        const lane = (index: number) =>
          Effect.gen(function* () {
            const redis = yield* started()
            const own = sequences.slice(index * roundsEach, (index + 1) * roundsEach)
            for (const [number, steps] of own.entries()) yield* round(redis, number, steps, seed)
          }).pipe(Effect.scoped)
        yield* Effect.forEach(
          Array.from({ length: servers }, (_, index) => index),
          lane,
          { concurrency: "unbounded" }
        )
      }),
    400_000
  )

  it.live("do not go back when Redis returns with an earlier state, as a lagging replica does", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const cluster = new ScriptedCluster()
      const installation = { cluster, redis, settings: settingsOf(redis, "lagging") }
      const instances = [
        yield* start(installation, "candidate"),
        yield* start(installation, "candidate"),
        yield* start(installation, "reader")
      ]
      const converged = untilConverged(instances, cluster, "")
      for (const newLeader of [false, true, false, true]) {
        for (const path of paths) cluster.put(path)
        yield* converged
        yield* redis.command("SAVE")
        const before = cluster.runs.all
        cluster.put("a/x")
        cluster.delete("b/x")
        cluster.deleteNamespace("c")
        if (newLeader) {
          yield* redis.command("DEL", keysOf("lagging").lease)
          yield* untilNextLeader(cluster, before)
        }
        cluster.put("a/y")
        yield* converged
        // Killed: it forgets everything since the save.
        yield* Effect.andThen(redis.stop, redis.start)
        cluster.put("keep/always")
        yield* converged
        for (const { violations } of instances) assert.deepStrictEqual(violations, [])
      }
    }).pipe(
      Effect.scoped,
      Effect.provide(RedisServer.layer(["--dir", mkdtempSync(join(tmpdir(), "kube-resource-api-redis-"))]))
    )
  )

  it.live("have one leader at a time, and each leader numbers its entries from 0 without a gap", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const cluster = new ScriptedCluster()
      const installation = { cluster, redis, settings: { ...settingsOf(redis, "fenced"), maxEntries: 100_000 } }
      const candidates = [
        yield* start(installation, "candidate"),
        yield* start(installation, "candidate"),
        yield* start(installation, "candidate")
      ]
      yield* untilSynced(candidates)
      for (let turn = 0; turn < 12; turn++) {
        const before = cluster.runs.all
        for (let change = 0; change < 20; change++) cluster.put(paths[change % paths.length] ?? paths[0])
        // The leader is writing when it loses the lease to another.
        yield* redis.command("DEL", keysOf("fenced").lease)
        yield* untilNextLeader(cluster, before)
      }
      yield* eventually(
        () => candidates.map(({ cache }) => shown(cache.current())),
        (caches) =>
          assert.deepStrictEqual(
            caches,
            candidates.map(() => truth(cluster))
          )
      )
      for (const { violations } of candidates) assert.deepStrictEqual(violations, [])
      const entries = yield* redis.command("XRANGE", keysOf("fenced").events, "-", "+")
      const epochs = epochsOf(entries)
      assert.isAtLeast(epochs.length, 12)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )
})
