/**
 * The cached view: bytes of memory for each deployment, and the CPU time of events and lookups against the size of the
 * namespace. Run: `node --expose-gc bench/memory.ts`
 */
import { Effect, Schema } from "effect"
import * as View from "../src/cache/ClusterView.ts"
import * as ViewReads from "../src/cache/ViewReads.ts"
import type { ClusterEvent } from "../src/model/ClusterEvent.ts"
import { DeploymentName, NamespaceName } from "../src/contract/Names.ts"
import type { DeploymentObject } from "../src/model/ReadModel.ts"
import { ReplicaCount } from "../src/contract/Names.ts"
import { ResourceVersion } from "../src/model/ResourceVersion.ts"
import { plot } from "./Plot.ts"
import { isQuick, print, result, table, title } from "./Report.ts"
import { median, spread } from "./Spread.ts"

const perNamespace = 40

const Objects = Schema.fromJsonString(
  Schema.Array(
    Schema.Struct({
      namespace: NamespaceName,
      name: DeploymentName,
      replicas: ReplicaCount,
      resourceVersion: ResourceVersion
    })
  )
)

/** Deployments as the wire decoder returns them: each has its own strings, and a name that no other namespace has. */
const deployments = (namespaces: number, each: number, version: number): ReadonlyArray<DeploymentObject> => {
  const objects = Array.from({ length: namespaces * each }, (_, index) => {
    const namespace = `team-${String(index % namespaces).padStart(4, "0")}`
    const name = `service-${String(index).padStart(6, "0")}-backend`
    return { namespace, name, replicas: index % 30, resourceVersion: String(version + index) }
  })
  return Schema.decodeSync(Objects)(JSON.stringify(objects))
}

const namespacesOf = (objects: ReadonlyArray<DeploymentObject>) => [
  ...new Set(objects.map(({ namespace }) => namespace))
]

const version = (value: number) => ResourceVersion.make(String(value))

const filled = (namespaces: number, each: number): View.ClusterView => {
  const items = deployments(namespaces, each, 100_000_000)
  const names = namespacesOf(items).map((name) => ({ name, resourceVersion: version(99_000_000) }))
  const listed = View.apply(View.empty, {
    _tag: "NamespacesReplaced",
    items: names,
    resourceVersion: version(200_000_000)
  })
  return View.apply(listed, { _tag: "DeploymentsReplaced", items, resourceVersion: version(200_000_000) })
}

const collect = globalThis.gc
if (collect === undefined) throw new Error("run with node --expose-gc")

const usedBytes = (): number => {
  for (let round = 0; round < 4; round++) collect()
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}

const readAll = (view: View.ClusterView): void => {
  ViewReads.allDeploymentsBody(view)
  ViewReads.allReplicaCountsBody(view)
  for (const { name } of view.namespaces) {
    ViewReads.deploymentsBody(view, name)
    ViewReads.replicaCountsBody(view, name)
  }
}

const scaled = (view: View.ClusterView, namespaceCount: number): View.ClusterView =>
  deployments(namespaceCount, perNamespace, 400_000_000).reduce((next, object, index) => {
    const replicas = ReplicaCount.make(1000 + (index % 7))
    return View.apply(next, { _tag: "DeploymentApplied", object: { ...object, replicas } })
  }, view)

const relisted = (view: View.ClusterView, namespaceCount: number): View.ClusterView =>
  View.apply(view, {
    _tag: "DeploymentsReplaced",
    items: deployments(namespaceCount, perNamespace, 500_000_000),
    resourceVersion: version(600_000_000)
  })

/** Successive states of a view. A call makes each state, so that its temporary values are freed. */
const states: ReadonlyArray<
  readonly [state: string, next: (view: View.ClusterView, namespaceCount: number) => View.ClusterView]
> = [
  ["after the lists", (_, namespaceCount) => filled(namespaceCount, perNamespace)],
  ["all bodies read once", (view) => view],
  ["each scaled, all bodies read again", scaled],
  ["relisted, all changed, all read again", relisted]
]

/** Bytes for each deployment in each state of a view of so many namespaces. */
const memory = (namespaceCount: number): ReadonlyArray<number> => {
  const base = usedBytes()
  let view = View.empty
  return states.map(([, next], index) => {
    view = next(view, namespaceCount)
    if (index > 0) readAll(view)
    return (usedBytes() - base) / (namespaceCount * perNamespace)
  })
}

/** CPU nanoseconds of one call of `run`, measured for about 150 ms after a warm-up. */
const nanos = (run: (index: number) => void): number => {
  for (let index = 0; index < 2000; index++) run(index)
  let runs = 0
  const started = performance.now()
  const before = process.cpuUsage()
  do {
    for (let index = 0; index < 200; index++) run(runs + index)
    runs += 200
  } while (performance.now() - started < 150)
  const { system, user } = process.cpuUsage(before)
  return ((system + user) * 1000) / runs
}

const operations = [
  "an event that changes no count",
  "a scaling",
  "a deletion and an addition",
  "one count looked up",
  "a name looked up everywhere"
] as const

/** CPU nanoseconds of each operation in a namespace of `size` deployments. */
const times = (size: number): ReadonlyArray<number> => {
  const base = filled(1, size)
  const objects = deployments(1, size, 100_000_000)
  const at = (index: number): DeploymentObject => {
    const object = objects[(index * 7919) % size]
    if (object === undefined) throw new Error("unreachable")
    return object
  }
  let next = 300_000_000
  const measureEvents = (events: (object: DeploymentObject) => ReadonlyArray<ClusterEvent>) => {
    let view = base
    return nanos((index) => {
      for (const event of events(at(index))) view = View.apply(view, event)
    })
  }
  return [
    measureEvents((object) => [{ _tag: "DeploymentApplied", object: { ...object, resourceVersion: version(next++) } }]),
    measureEvents((object) => {
      const replicas = ReplicaCount.make(100 + (next % 997))
      return [{ _tag: "DeploymentApplied", object: { ...object, replicas, resourceVersion: version(next++) } }]
    }),
    measureEvents((object) => [
      { _tag: "DeploymentDeleted", ref: object, resourceVersion: version(next++) },
      { _tag: "DeploymentApplied", object: { ...object, resourceVersion: version(next++) } }
    ]),
    nanos((index) => {
      const { name, namespace } = at(index)
      ViewReads.replicaCountBody(base, namespace, name)
    }),
    nanos((index) => {
      ViewReads.replicaCountEverywhereBody(base, at(index).name)
    })
  ]
}

/** CPU nanoseconds of a scaling and a read of all counts, and of a second read, with 20,000 deployments. */
const everything = (): readonly [changed: number, same: number] => {
  let view = filled(500, perNamespace)
  const all = deployments(500, perNamespace, 300_000_000)
  let count = 0
  const changed = nanos(() => {
    const object = all[(count * 7919) % all.length]
    if (object === undefined) return
    const replicas = ReplicaCount.make(count++ % 50)
    const resourceVersion = version(700_000_000 + count)
    view = View.apply(view, { _tag: "DeploymentApplied", object: { ...object, replicas, resourceVersion } })
    ViewReads.allReplicaCountsBody(view)
  })
  return [
    changed,
    nanos(() => {
      ViewReads.allReplicaCountsBody(view)
    })
  ]
}

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  const rounds = quick ? 1 : 5
  yield* title("memory and the cost of a change")
  const counts = quick ? [25, 500] : [25, 500, 2500]
  // A warm-up, so that compiled code does not count as data.
  memory(25)
  const held = counts.map(memory)
  yield* print("Bytes of heap and external memory for each deployment, after a collection\n")
  yield* table(
    ["state", ...counts.map((count) => `${count * perNamespace} deployments`)],
    states.map(([state], index) => [state].concat(held.map((bytes) => (bytes[index] ?? Number.NaN).toFixed(0))))
  )
  yield* result("bytes of memory for each deployment", [Math.max(...(held.at(-1) ?? []))], { atMost: 700 }, 0)

  const sizes = quick ? [10, 1000] : [10, 100, 1000, 10_000]
  const measured = sizes.map((size) => ({ size, rounds: Array.from({ length: rounds }, () => times(size)) }))
  const of = (each: (typeof measured)[number], operation: number) =>
    each.rounds.map((figures) => figures[operation] ?? Number.NaN)
  yield* print(`\nNanoseconds of CPU, by the deployments in the namespace; ${rounds} rounds\n`)
  yield* table(
    ["operation", ...sizes.map(String)],
    operations.map((name, index) => [name, ...measured.map((each) => spread(of(each, index), 0))])
  )
  const whole = Array.from({ length: rounds }, everything)
  yield* print(
    `With 20,000 deployments a scaling and a read of all counts take ${spread(
      whole.map(([changed]) => changed / 1e6),
      2
    )} ms; reading again ${spread(
      whole.map(([, same]) => same),
      0
    )} ns.`
  )
  yield* plot(
    "growth-events",
    { title: "Applying an event", x: "deployments in the namespace", y: "ns per event", logY: true },
    operations.slice(0, 3).map((name, index) => ({
      name,
      points: measured.map((each) => [each.size, median(of(each, index))])
    }))
  )
})

await Effect.runPromise(main)
