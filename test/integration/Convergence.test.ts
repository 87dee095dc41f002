import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Duration, Effect, Layer, Schema } from "effect"
import { InformerObserver, unobserved } from "../../src/kube/InformerObserver.ts"
import * as KubeApi from "../../src/kube/KubeApi.ts"
import * as KubeHttp from "../../src/kube/KubeHttp.ts"
import * as KubeWatch from "../../src/kube/KubeWatch.ts"
import { CacheObserver, ClusterCache } from "../../src/cache/ClusterCache.ts"
import * as View from "../../src/cache/ClusterView.ts"
import * as ViewReads from "../../src/cache/ViewReads.ts"
import { DeploymentList, NamespaceReplicaCounts } from "../../src/contract/Bodies.ts"
import type { ClusterEvent, WatchedResource } from "../../src/model/ClusterEvent.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import * as KubeConfig from "../../src/kube/KubeConfig.ts"
import { eventually } from "../support/Eventually.ts"

const namespaces = ["alpha", "beta", "gamma"]
const names = ["web", "db", "queue", "cron"]

const text = (body: string | Uint8Array) => (typeof body === "string" ? body : Buffer.from(body).toString())

const decodeCounts = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Array(NamespaceReplicaCounts)))
const decodeLists = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Array(DeploymentList)))

type Flat = ReadonlyMap<string, number>

/** The counts in the cache, by `namespace/name`. */
const shown = (view: View.ClusterView): Flat =>
  new Map(
    decodeCounts(text(ViewReads.allReplicaCountsBody(view))).flatMap(({ namespace, deployments }) =>
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
  namespaces: decodeLists(text(ViewReads.allDeploymentsBody(view))).map(({ namespace }) => String(namespace)),
  counts: entries(shown(view))
})

/** Waits until the cache equals the cluster. A failure names the `steps` that led there. */
const converged = (steps: string) =>
  Effect.gen(function* () {
    const cache = yield* ClusterCache
    const both = Effect.map(truth, (expected) => ({ expected, actual: cached(cache.current()) }))
    yield* eventually(both, ({ actual, expected }) => assert.deepStrictEqual(actual, expected, steps))
  })

/** Observes every state of the cache and records violations: an empty cache, or a count that decreased. */
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

/** How the cluster answers. Without `protobuf`, always in JSON. */
interface Wire {
  readonly protobuf: boolean
  readonly streamingLists: boolean
}

const wires: ReadonlyArray<readonly [how: string, Wire]> = [
  ["streaming lists in protobuf", { protobuf: true, streamingLists: true }],
  ["paged lists in protobuf", { protobuf: true, streamingLists: false }],
  ["streaming lists in JSON", { protobuf: false, streamingLists: true }],
  ["paged lists in JSON", { protobuf: false, streamingLists: false }]
]

/** The cache of an embedded cluster, with short timeouts and backoffs. */
const service = (watcher: ReturnType<typeof makeWatcher>, { protobuf, streamingLists }: Wire) => {
  const bookmarks = { namespaces: 0, deployments: 0 }
  const bookmark = (resource: WatchedResource) => Effect.sync(() => void bookmarks[resource]++)
  return Layer.effectDiscard(
    Effect.gen(function* () {
      const cache = yield* ClusterCache
      yield* cache.awaitSynced
      watcher.watch(cache)
      // The informer detects a stalled watch only on a server that is known to send bookmarks beside those of its lists.
      yield* eventually(
        () => bookmarks,
        ({ deployments, namespaces }) => deployments >= 2 && namespaces >= 2
      )
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
            Layer.provide(KubeConfig.layerEndpoint({ url })),
            Layer.provide(Layer.succeed(InformerObserver, { ...unobserved, bookmark }))
          )
        )
      )
    ),
    Layer.provideMerge(
      EmbeddedKube.layer({
        seed: { alpha: { web: 1 }, keep: { always: 1 } },
        bookmarkInterval: Duration.millis(50),
        protobuf,
        streamingLists
      })
    ),
    Layer.provide(Layer.succeed(CacheObserver, watcher.observer))
  )
}

const faults = [
  "dropWatches",
  "stallWatches",
  "cutMidEvent",
  "garbageEvent",
  "oversizedEvent",
  "wrongMagic",
  "emptyObject",
  "unknownFields",
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
      case "cutMidEvent":
      case "garbageEvent":
      case "oversizedEvent":
      case "wrongMagic":
      case "emptyObject":
      case "unknownFields":
      case "goneNow":
      case "closeWatchesCleanly":
        return yield* kube.faults[fault]()
      case "duplicate":
        return yield* kube.faults.duplicateNextEvents(2)
      case "reorder":
        // The fault delays an event until the next one: here both are of one object.
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
        // The backup is older by more versions than the changes that follow add. Otherwise the restored cluster could
        // reach a version that the old one had with another state, which no client can distinguish.
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

/** Counts only grow, so that a smaller count is an older one. */
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

describe("the cache converges to the cluster after faults", () => {
  for (const [how, wire] of wires) {
    for (const fault of faults) {
      it.live(`after ${fault}, with ${how}: equals the cluster, and was never empty or older in between`, () => {
        const watcher = makeWatcher()
        return Effect.gen(function* () {
          const kube = yield* EmbeddedKube
          yield* kube.awaitWatches(2)
          for (const name of names) yield* change("alpha", name, "put")
          yield* run(fault)
          for (const name of names) yield* change("alpha", name, "put")
          yield* change("alpha", "web", "delete")
          yield* change("beta", "", "namespace")
          yield* converged(fault)
          assert.deepStrictEqual(watcher.violations, [])
        }).pipe(Effect.provide(service(watcher, wire)))
      })
    }

    it.live(
      `after each of 100 random sequences of faults and changes, with ${how}`,
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
            yield* converged(JSON.stringify(sequence))
            assert.deepStrictEqual(watcher.violations, [], JSON.stringify(sequence))
          }
        }).pipe(Effect.provide(service(watcher, wire)))
      },
      120_000
    )
  }
})
