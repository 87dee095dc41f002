/** The informers over real sockets, against a cluster with each kind of fault. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Queue, References, Stream } from "effect"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import { EmbeddedKube, type EmbeddedKubeOptions } from "../../src/embedded/EmbeddedKube.ts"
import type { InformerOptions } from "../../src/kube/Informer.ts"
import { InformerObserver, unobserved } from "../../src/kube/InformerObserver.ts"
import * as KubeWatch from "../../src/kube/KubeWatch.ts"
import { eventually } from "../support/Eventually.ts"
import { kubeApi } from "./HttpCluster.ts"
import { told } from "./ScriptedKube.ts"

const seed = { personal: { nginx: 12, kafka: undefined }, "kube-system": {} }

const quick: InformerOptions = {
  backoffFirst: "20 millis",
  backoffLongest: "100 millis",
  listSilenceLimit: "200 millis"
}

/** The state that the events so far add up to. */
class View {
  readonly bookmarks = { namespaces: 0, deployments: 0 }
  readonly namespaces = new Set<string>()
  readonly deployments = new Map<string, number>()
  readonly events: Array<string> = []
  readonly relists: Array<string> = []
  readonly ends: Array<string> = []
  readonly logged: Array<string> = []
  emptied = 0

  take(event: ClusterEvent): void {
    this.events.push(told(event))
    switch (event._tag) {
      case "NamespacesReplaced":
        this.namespaces.clear()
        event.items.forEach((item) => this.namespaces.add(item.name))
        break
      case "DeploymentsReplaced":
        this.deployments.clear()
        event.items.forEach((item) => this.deployments.set(`${item.namespace}/${item.name}`, item.replicas))
        if (event.items.length === 0) {
          this.emptied += 1
        }
        break
      case "NamespaceApplied":
        this.namespaces.add(event.object.name)
        break
      case "NamespaceDeleted":
        this.namespaces.delete(event.name)
        break
      case "DeploymentApplied":
        this.deployments.set(`${event.object.namespace}/${event.object.name}`, event.object.replicas)
        break
      case "DeploymentDeleted":
        this.deployments.delete(`${event.ref.namespace}/${event.ref.name}`)
        break
      default:
    }
  }
}

const watched = Effect.fnUntraced(function* (options: InformerOptions = quick) {
  const kube = yield* EmbeddedKube
  const view = new View()
  const changes = yield* Queue.unbounded<void>()
  yield* Stream.unwrap(Effect.map(KubeWatch.KubeWatch, ({ events }) => events)).pipe(
    Stream.runForEach((event) => {
      view.take(event)
      return Queue.offer(changes, undefined)
    }),
    Effect.provide(KubeWatch.layerOptions(options).pipe(Layer.provide(kubeApi(kube.url)))),
    Effect.provideService(InformerObserver, {
      ...unobserved,
      bookmark: (resource) => Effect.sync(() => view.bookmarks[resource]++),
      relisted: (resource, reason) => Effect.sync(() => view.relists.push(`${resource} ${reason}`)),
      watchEnded: (resource, end) => Effect.sync(() => view.ends.push(`${resource} ${end}`))
    }),
    Effect.provide(Logger.layer([Logger.make(({ message }) => view.logged.push(String(message)))])),
    Effect.provideService(References.MinimumLogLevel, "Debug"),
    Effect.forkScoped
  )
  /** Waits for a state of the view. */
  const until = (is: (view: View) => boolean) =>
    Effect.gen(function* () {
      while (!is(view)) {
        yield* Queue.take(changes)
      }
    })
  yield* until(({ deployments, namespaces }) => deployments.size === 2 && namespaces.size === 2)
  yield* kube.awaitWatches(2)
  return { kube, view, until }
})

/** A test for each encoding. Without `protobuf`, the cluster always answers in JSON. */
const faulty = <E>(name: string, test: Effect.Effect<void, E, EmbeddedKube>, options: EmbeddedKubeOptions = {}) => {
  for (const protobuf of [true, false]) {
    it.live(`${name}, in ${protobuf ? "protobuf" : "JSON"}`, () =>
      Effect.provide(test, [EmbeddedKube.layer({ seed, tokens: ["secret"], protobuf, ...options }), Logger.layer([])])
    )
  }
}

/** Raises the version of the cluster far above the number of its objects. */
const aged = Effect.gen(function* () {
  const { cluster } = yield* EmbeddedKube
  for (let count = 0; count < 50; count += 1) {
    yield* cluster.putDeployment("personal", "nginx", count)
  }
})

/** Asserts that a change arrives after the fault, and that no list was empty. */
const recovers = Effect.fnUntraced(function* (
  fault: (kube: EmbeddedKube["Service"], view: View) => Effect.Effect<unknown>,
  options?: InformerOptions
) {
  const view = yield* Effect.scoped(
    Effect.gen(function* () {
      const all = yield* watched(options)
      if (options?.silenceLimit !== undefined) {
        // The informer knows that the server sends bookmarks from the one after that of the list.
        yield* eventually(
          () => all.view.bookmarks,
          ({ deployments, namespaces }) => deployments > 1 && namespaces > 1
        )
      }
      yield* fault(all.kube, all.view)
      yield* all.kube.cluster.scale("personal", "nginx", 99)
      yield* all.kube.cluster.deleteDeployment("personal", "kafka")
      yield* all.until(({ deployments }) => deployments.get("personal/nginx") === 99 && deployments.size === 1)
      return all.view
    })
  )
  assert.strictEqual(view.emptied, 0)
  return view
})

describe("informers against a faulty cluster", () => {
  faulty(
    "resumes dropped watches without a list",
    Effect.gen(function* () {
      const view = yield* recovers(({ faults }) => faults.dropWatches())
      assert.deepStrictEqual(view.relists.toSorted(), ["deployments start", "namespaces start"])
      assert.include(view.ends, "deployments unreachable")
    })
  )

  faulty(
    "discards a truncated event and resumes the watch",
    Effect.gen(function* () {
      const view = yield* recovers(({ faults }) => faults.cutMidEvent())
      assert.strictEqual(view.relists.length, 2)
    })
  )

  faulty(
    "resumes a watch after an event that cannot be parsed",
    Effect.gen(function* () {
      const view = yield* recovers(({ faults }) => faults.garbageEvent())
      assert.include(view.ends, "deployments undecodable")
      assert.strictEqual(view.relists.length, 2)
    })
  )

  faulty(
    "lists again in one step after an ERROR event with 410",
    Effect.gen(function* () {
      const view = yield* recovers(({ faults }) => faults.goneNow())
      assert.include(view.relists, "deployments expired")
    })
  )

  for (const goneMode of ["event", "status"] as const) {
    faulty(
      `history compacted away while disconnected, told by ${goneMode}, gives a new list`,
      Effect.gen(function* () {
        const view = yield* recovers(({ cluster, compact, faults }) =>
          Effect.gen(function* () {
            yield* faults.setQuirks({ goneMode })
            yield* faults.dropWatches()
            yield* Effect.orDie(cluster.putDeployment("personal", "kafka", 4))
            yield* compact
          })
        )
        assert.include(view.relists, "deployments expired")
      })
    )
  }

  faulty(
    "lists again after a restart from an older backup",
    Effect.gen(function* () {
      yield* aged
      const view = yield* recovers(({ restart }) => restart({ resourceVersion: 4 }))
      assert.include(view.relists, "deployments restored")
    })
  )

  faulty(
    "lists again after a restart from an older backup that accepts watches from the future silently",
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      yield* aged
      yield* faults.setQuirks({ silentFutureWatch: true })
      const view = yield* recovers(({ restart }) => restart({ resourceVersion: 4 }), {
        ...quick,
        silenceLimit: "300 millis"
      })
      assert.include(view.relists, "deployments restored")
    }),
    { bookmarkInterval: "50 millis" }
  )

  faulty(
    "misses no change below the version of its watch after a restart from an older backup",
    Effect.scoped(
      Effect.gen(function* () {
        yield* aged
        const { kube, until, view } = yield* watched()
        yield* kube.faults.setQuirks({ silentFutureWatch: true })
        yield* kube.clearRequests
        yield* kube.restart({ resourceVersion: 4 })
        yield* kube.cluster.deleteDeployment("personal", "kafka")
        yield* eventually(kube.requests, (requests) => requests.filter(({ verb }) => verb === "watch").length === 2)
        // The versions pass that of the old watch before the informer reads one.
        yield* aged
        yield* until(({ deployments }) => deployments.size === 1 && deployments.get("personal/nginx") === 49)
        assert.include(view.relists, "deployments restored")
      })
    )
  )

  faulty(
    "resumes at once after clean ends",
    Effect.gen(function* () {
      const view = yield* recovers(({ faults }) => faults.closeWatchesCleanly())
      assert.include(view.ends, "deployments closed")
      assert.strictEqual(view.relists.length, 2)
    })
  )

  faulty(
    "recovers from an outage",
    Effect.gen(function* () {
      const view = yield* recovers(({ faults }, { ends, logged }) =>
        Effect.gen(function* () {
          // A streaming list may have stalled before, on a busy machine.
          const before = ends.length
          yield* faults.unavailable(true)
          yield* eventually(
            () => logged,
            (found) => found.filter((message) => message.endsWith(": retrying")).length > 5
          )
          assert.isEmpty(ends.slice(before).filter((end) => !end.endsWith(" unreachable")))
          yield* faults.unavailable(false)
        })
      )
      assert.strictEqual(view.relists.length, 2)
      assert.isAtMost(view.events.filter((event) => event === "lost").length, 2)
    })
  )

  faulty(
    "recovers from server errors",
    recovers(({ faults }) => Effect.andThen(faults.failNext(3, { status: 503, on: "any" }), faults.dropWatches()))
  )

  faulty(
    "emits duplicate and reordered events",
    recovers(({ faults }) => Effect.andThen(faults.duplicateNextEvents(2), Effect.void))
  )

  faulty(
    "closes a stalled watch once its bookmarks stop",
    Effect.scoped(
      Effect.gen(function* () {
        const { kube, until, view } = yield* watched({ ...quick, silenceLimit: "300 millis" })
        // The first bookmark may be the end of a streaming list, which a server without periodic bookmarks sends, too.
        yield* until(({ bookmarks }) => bookmarks.deployments > 1 && bookmarks.namespaces > 1)
        assert.isAbove(yield* kube.faults.stallWatches(), 0)
        yield* kube.cluster.scale("personal", "nginx", 99)
        yield* until(({ deployments }) => deployments.get("personal/nginx") === 99)
        assert.include(view.ends, "deployments silent")
        assert.strictEqual(view.relists.length, 2)
      })
    ),
    { bookmarkInterval: "50 millis" }
  )

  faulty(
    "recovers when a denied permission is granted",
    recovers(({ faults }, { ends }) =>
      Effect.gen(function* () {
        yield* faults.denyVerb("deployments", "watch")
        yield* faults.dropWatches()
        yield* eventually(
          () => ends,
          (found) => found.includes("deployments forbidden")
        )
        yield* faults.allowAll
      })
    )
  )

  faulty(
    "pages a server without streaming lists, and reads absent items as an empty list",
    Effect.gen(function* () {
      const { faults, requests } = yield* EmbeddedKube
      yield* faults.setQuirks({ emptyItems: "null" })
      const view = yield* recovers(() => Effect.void)
      assert.include(view.ends, "deployments unsupported")
      assert.isAbove((yield* requests).filter(({ verb }) => verb === "list").length, 2)
    }),
    { streamingLists: false, maxPageSize: 1 }
  )

  faulty(
    "pages a server that ignores the request for a streaming list, and whose bookmarks keep it alive",
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      yield* faults.setQuirks({ ignoreSendInitialEvents: true })
      const view = yield* recovers(() => Effect.void)
      assert.include(view.ends, "deployments unsupported")
      assert.deepStrictEqual(view.relists.toSorted(), ["deployments start", "namespaces start"])
    }),
    { bookmarkInterval: "50 millis" }
  )
})
