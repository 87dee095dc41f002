import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Duration, Effect, Layer, Schema } from "effect"
import * as KubeApi from "../../src/kube/KubeApi.ts"
import * as KubeHttp from "../../src/kube/KubeHttp.ts"
import * as KubeWatch from "../../src/kube/KubeWatch.ts"
import { CacheObserver, ClusterCache } from "../../src/cache/ClusterCache.ts"
import * as View from "../../src/cache/ClusterView.ts"
import { DeploymentList, NamespaceReplicaCounts } from "../../src/contract/Bodies.ts"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import * as KubeConfig from "../../src/kube/KubeConfig.ts"

const namespaces = ["alpha", "beta", "gamma"]
const names = ["web", "db", "queue", "cron"]

const text = (body: string | Uint8Array) => (typeof body === "string" ? body : Buffer.from(body).toString())

const decodeCounts = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Array(NamespaceReplicaCounts)))
const decodeLists = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Array(DeploymentList)))

type Flat = ReadonlyMap<string, number>

/** What the cache shows, by `namespace/name`. */
const shown = (view: View.ClusterView): Flat =>
  new Map(
    decodeCounts(text(View.allReplicaCountsBody(view))).flatMap(({ namespace, deployments }) =>
      deployments.map(({ deployment, replica_count }) => [`${namespace}/${deployment}`, replica_count] as const)
    )
  )

const entries = (flat: Flat) => [...flat].sort(([a], [b]) => (a < b ? -1 : 1))

const truth = Effect.gen(function* () {
  const kube = yield* EmbeddedKube
  const snapshot = yield* kube.snapshot
  return {
    namespaces: snapshot.namespaces.toSorted(),
    counts: entries(new Map(snapshot.deployments.map((one) => [`${one.namespace}/${one.name}`, one.replicas])))
  }
})

const cached = (view: View.ClusterView) => ({
  namespaces: decodeLists(text(View.allDeploymentsBody(view))).map(({ namespace }) => String(namespace)),
  counts: entries(shown(view))
})

/** Waits until the cache shows what the cluster has; gives both as they are when it gives up. */
const converged = Effect.gen(function* () {
  const cache = yield* ClusterCache
  for (let attempt = 0; attempt < 2000; attempt++) {
    const expected = yield* truth
    const actual = cached(cache.current())
    if (JSON.stringify(expected) === JSON.stringify(actual)) return { expected, actual }
    yield* Effect.sleep(5)
  }
  return { expected: yield* truth, actual: cached(cache.current()) }
})

/** Sees every state of the cache, and keeps what was wrong with one: an empty moment, or a count that went back. */
const makeWatcher = () => {
  const violations: Array<string> = []
  let cache: ClusterCache["Service"] | undefined
  let highest = new Map<string, number>()
  return {
    violations,
    watch: (observed: ClusterCache["Service"]) => {
      cache = observed
      highest = new Map()
    },
    observer: {
      applied: ({ _tag: tag }: ClusterEvent) => {
        if (cache === undefined || !cache.isSynced()) return
        const view = cache.current()
        if (view.namespaceCount === 0 || view.deploymentCount === 0) violations.push(`empty after ${tag}`)
        for (const [key, replicas] of shown(view)) {
          if (replicas < (highest.get(key) ?? 0)) violations.push(`${key} went back to ${replicas} after ${tag}`)
          highest.set(key, replicas)
        }
      }
    }
  }
}

/** The cache over an embedded cluster, with short waits: what is tested is what happens, not when. */
const service = (watcher: ReturnType<typeof makeWatcher>, streamingLists: boolean) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const cache = yield* ClusterCache
      yield* cache.awaitSynced
      watcher.watch(cache)
      // A stalled watch is told from a quiet one by the bookmarks that the server is known to send.
      yield* Effect.sleep(150)
    })
  ).pipe(
    Layer.provideMerge(
      Layer.unwrap(
        Effect.map(EmbeddedKube, ({ url }) =>
          Layer.unwrap(Effect.map(KubeWatch.KubeWatch, ({ events }) => ClusterCache.layer(events))).pipe(
            Layer.provide(
              KubeWatch.layerOptions({
                backoffFirst: Duration.millis(5),
                backoffLongest: Duration.millis(40),
                silenceLimit: Duration.millis(300),
                pageSize: 3
              })
            ),
            Layer.provide(KubeApi.layer),
            Layer.provide(KubeHttp.layer),
            Layer.provide(KubeConfig.layerEndpoint({ url }))
          )
        )
      )
    ),
    Layer.provideMerge(
      EmbeddedKube.layer({
        seed: { alpha: { web: 1 }, keep: { always: 1 } },
        bookmarkInterval: Duration.millis(50),
        streamingLists
      })
    ),
    Layer.provide(Layer.succeed(CacheObserver, watcher.observer))
  )

const faults = [
  "dropWatches",
  "stallWatches",
  "cutMidLine",
  "garbageLine",
  "goneNow",
  "closeWatchesCleanly",
  "duplicate",
  "reorder",
  "tooMany",
  "broken",
  "restart",
  "compactAndDrop",
  "pause"
] as const

const run = (fault: (typeof faults)[number]) =>
  Effect.gen(function* () {
    const kube = yield* EmbeddedKube
    switch (fault) {
      case "dropWatches":
      case "stallWatches":
      case "cutMidLine":
      case "garbageLine":
      case "goneNow":
      case "closeWatchesCleanly":
        return yield* kube.faults[fault]()
      case "duplicate":
        return yield* kube.faults.duplicateNextEvents(2)
      case "reorder":
        // The swap holds the first event back until the second comes: here both, of one object, come at once.
        yield* kube.faults.reorderNextEvents("deployments")
        yield* change("keep", "always", "put")
        return yield* change("keep", "always", "put")
      case "tooMany":
        yield* kube.faults.failNext(2, { status: 429, retryAfter: 0, on: "any" })
        return yield* kube.faults.dropWatches()
      case "broken":
        yield* kube.faults.failNext(2, { status: 500, on: "any" })
        return yield* kube.faults.dropWatches()
      case "restart": {
        // The older backup is older by more than the changes that follow: a version that both had in their time, for
        // different states, is one that no client could tell apart.
        for (let more = 0; more < 40; more++) yield* change("keep", "always", "put")
        const { resourceVersion } = yield* kube.snapshot
        return yield* kube.restart({ resourceVersion: Number(resourceVersion) - 30 })
      }
      case "compactAndDrop":
        yield* kube.compact
        return yield* kube.faults.dropWatches()
      case "pause":
        return yield* Effect.sleep(10)
    }
  })

/** Counts only ever grow, so that a smaller one is an older one. */
let next = 1

const change = (namespace: string, name: string, what: "put" | "delete" | "namespace" | "noNamespace") =>
  Effect.gen(function* () {
    const { cluster } = yield* EmbeddedKube
    switch (what) {
      case "put":
        return yield* cluster.putDeployment(namespace, name, ++next)
      case "delete":
        return yield* cluster.deleteDeployment(namespace, name)
      case "namespace":
        return yield* cluster.createNamespace(namespace)
      case "noNamespace":
        return yield* cluster.deleteNamespace(namespace)
    }
  }).pipe(Effect.ignore)

const step = Arbitrary.all([
  Arbitrary.schema(Schema.Literals(["fault", "change", "change", "change"])),
  Arbitrary.schema(Schema.Literals(faults)),
  Arbitrary.schema(Schema.Literals(["put", "put", "put", "put", "delete", "namespace", "noNamespace"])),
  Arbitrary.schema(Schema.Literals(namespaces)),
  Arbitrary.schema(Schema.Literals(names))
])

describe("the cache follows the cluster, whatever happens on the way", () => {
  for (const streamingLists of [true, false]) {
    const how = streamingLists ? "with streaming lists" : "with paged lists"

    for (const fault of faults) {
      it.live(`after ${fault}, ${how}: equal to the cluster, never empty and never older in between`, () => {
        const watcher = makeWatcher()
        return Effect.gen(function* () {
          const kube = yield* EmbeddedKube
          yield* kube.awaitWatches(2)
          for (const name of names) yield* change("alpha", name, "put")
          yield* run(fault)
          for (const name of names) yield* change("alpha", name, "put")
          yield* change("alpha", "web", "delete")
          yield* change("beta", "", "namespace")
          const { expected, actual } = yield* converged
          assert.deepStrictEqual(actual, expected)
          assert.deepStrictEqual(watcher.violations, [])
        }).pipe(Effect.provide(service(watcher, streamingLists)))
      })
    }

    it.live(
      `after 100 random sequences of faults and changes, ${how}`,
      () => {
        const watcher = makeWatcher()
        return Effect.gen(function* () {
          const sequences = yield* Arbitrary.sampleEffect(Arbitrary.array(step, { minLength: 3, maxLength: 12 }), {
            count: 100
          })
          for (const sequence of sequences) {
            for (const [kind, fault, what, namespace, name] of sequence) {
              yield* kind === "fault" ? run(fault) : change(namespace, name, what)
            }
            const { expected, actual } = yield* converged
            assert.deepStrictEqual(actual, expected, JSON.stringify(sequence))
            assert.deepStrictEqual(watcher.violations, [], JSON.stringify(sequence))
          }
        }).pipe(Effect.provide(service(watcher, streamingLists)))
      },
      120_000
    )
  }
})
