/**
 * What the cached view costs: bytes per deployment with 20,000 of them in 500 namespaces, and the time of an event and of
 * a lookup against the size of the namespace. Run: `node --expose-gc bench/memory.ts`
 */
import { Schema } from "effect"
import * as View from "../src/cache/ClusterView.ts"
import type { ClusterEvent } from "../src/domain/ClusterEvent.ts"
import { DeploymentName, NamespaceName } from "../src/domain/Names.ts"
import type { DeploymentObject } from "../src/domain/ReadModel.ts"
import { ReplicaCount } from "../src/domain/ReplicaCount.ts"
import { ResourceVersion } from "../src/domain/ResourceVersion.ts"

const namespaceCount = 500
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

/** Deployments as they come off the wire, each with strings of its own. Their names differ from namespace to namespace. */
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

const relisted = (view: View.ClusterView): View.ClusterView =>
  View.apply(view, {
    _tag: "DeploymentsReplaced",
    items: deployments(namespaceCount, perNamespace, 500_000_000),
    resourceVersion: version(600_000_000)
  })

const print = (...columns: ReadonlyArray<string | number>) =>
  process.stdout.write(
    `${columns.map((column, index) => String(column)[index === 0 ? "padEnd" : "padStart"](index === 0 ? 46 : 14)).join("")}\n`
  )

const collect = globalThis.gc
if (collect === undefined) throw new Error("run with node --expose-gc")

const used = (): { readonly bytes: number; readonly rss: number } => {
  for (let round = 0; round < 4; round++) collect()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { bytes: heapUsed + external, rss }
}

const memory = () => {
  // Compiles what will run, so that code is not counted as data.
  let view = filled(20, perNamespace)
  View.allDeploymentsBody(view)
  View.allReplicaCountsBody(view)
  view = View.empty
  const base = used()
  print("memory", "MB", "B/deployment", "RSS MB")
  const report = (label: string) => {
    const now = used()
    print(
      label,
      ((now.bytes - base.bytes) / 1e6).toFixed(2),
      ((now.bytes - base.bytes) / (namespaceCount * perNamespace)).toFixed(0),
      (now.rss / 1e6).toFixed(0)
    )
  }
  print("process, before", (base.bytes / 1e6).toFixed(2), "-", (base.rss / 1e6).toFixed(0))
  view = filled(namespaceCount, perNamespace)
  report("after the lists")
  View.allDeploymentsBody(view)
  View.allReplicaCountsBody(view)
  report("2A and 3B read once")
  const readEach = () => {
    for (const { name } of view.namespaces) {
      View.deploymentsBody(view, name)
      View.replicaCountsBody(view, name)
    }
  }
  readEach()
  report("2 and 3A of each namespace read too")
  for (const object of deployments(namespaceCount, perNamespace, 300_000_000)) {
    view = View.apply(view, { _tag: "DeploymentApplied", object })
  }
  report("each deployment touched, count unchanged")
  deployments(namespaceCount, perNamespace, 400_000_000).forEach((object, index) => {
    const replicas = ReplicaCount.make(1000 + (index % 7))
    view = View.apply(view, { _tag: "DeploymentApplied", object: { ...object, replicas } })
  })
  View.allDeploymentsBody(view)
  View.allReplicaCountsBody(view)
  readEach()
  report("each scaled, all bodies read again")
  const started = performance.now()
  view = relisted(view)
  const took = performance.now() - started
  View.allDeploymentsBody(view)
  View.allReplicaCountsBody(view)
  readEach()
  report("relisted, all changed, all bodies read again")
  print(`  that relist, parse and apply: ${took.toFixed(0)} ms; ${view.deploymentCount} deployments`)
}

/** Nanoseconds of one run of `run`, over as many as fill about 150 ms, after a warm-up. */
const nanos = (run: (index: number) => void): string => {
  for (let index = 0; index < 2000; index++) run(index)
  let runs = 0
  const started = performance.now()
  do {
    for (let index = 0; index < 200; index++) run(runs + index)
    runs += 200
  } while (performance.now() - started < 150)
  return (((performance.now() - started) * 1e6) / runs).toFixed(0)
}

const time = () => {
  print("\nns, by deployments in the namespace", "touch", "scale", "add+delete", "lookup 3", "lookup 3C")
  for (const size of [10, 100, 1000, 10_000]) {
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
    print(
      String(size),
      measureEvents((object) => [
        { _tag: "DeploymentApplied", object: { ...object, resourceVersion: version(next++) } }
      ]),
      measureEvents((object) => {
        const replicas = ReplicaCount.make(100 + (next % 997))
        return [{ _tag: "DeploymentApplied", object: { ...object, replicas, resourceVersion: version(next++) } }]
      }),
      measureEvents((object) => [
        { _tag: "DeploymentDeleted", ref: object, resourceVersion: version(next++) },
        { _tag: "DeploymentApplied", object: { ...object, resourceVersion: version(next++) } }
      ]),
      nanos((index) => {
        const { namespace, name } = at(index)
        View.replicaCountBody(base, namespace, name)
      }),
      nanos((index) => {
        View.replicaCountEverywhereBody(base, at(index).name)
      })
    )
  }
  const big = filled(namespaceCount, perNamespace)
  const all = deployments(namespaceCount, perNamespace, 300_000_000)
  let view = big
  let count = 0
  print("\n20,000 in 500 namespaces", "ns")
  print(
    "lookup 3",
    nanos((index) => {
      const object = all[(index * 7919) % all.length]
      if (object !== undefined) View.replicaCountBody(big, object.namespace, object.name)
    })
  )
  print(
    "lookup 3B, nothing changed",
    nanos(() => {
      View.allReplicaCountsBody(big)
    })
  )
  print(
    "a scaling, then 3B read",
    nanos(() => {
      const object = all[(count * 7919) % all.length]
      if (object === undefined) return
      const replicas = ReplicaCount.make(count++ % 50)
      const resourceVersion = version(700_000_000 + count)
      view = View.apply(view, { _tag: "DeploymentApplied", object: { ...object, replicas, resourceVersion } })
      View.allReplicaCountsBody(view)
    })
  )
}

memory()
time()
