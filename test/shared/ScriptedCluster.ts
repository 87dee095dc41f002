import { Effect, Queue, Stream } from "effect"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import * as Given from "../cache/Given.ts"
import { History, truth } from "./Shown.ts"

const heard = (resource: "namespaces" | "deployments"): ClusterEvent => ({ _tag: "Heard", resource })

/** A cluster whose `source` emits the lists and then each change. Counts and versions only grow. */
export class ScriptedCluster {
  readonly namespaces = new Set<string>(["keep"])
  readonly deployments = new Map<string, { readonly replicas: number; readonly version: number }>([
    ["keep/always", { replicas: 1, version: 2 }]
  ])
  #version = 10
  #runs = 0
  readonly #watching = new Set<Queue.Enqueue<ClusterEvent>>()
  /** The states of the cluster, by `performance.now()`. */
  readonly history = new History()
  #isAway = false

  constructor() {
    this.#changed()
  }

  /** The number of runs of the source, in all and now. */
  get runs(): { readonly all: number; readonly now: number } {
    return { all: this.#runs, now: this.#watching.size }
  }

  readonly source: Stream.Stream<ClusterEvent> = Stream.callback<ClusterEvent>((queue) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        this.#runs++
        this.#watching.add(queue)
        if (!this.#isAway) for (const event of this.lists()) Queue.offerUnsafe(queue, event)
      }),
      () => Effect.sync(() => this.#watching.delete(queue))
    )
  )

  lists(): ReadonlyArray<ClusterEvent> {
    return [
      Given.namespaces(this.#version, ...this.namespaces),
      heard("namespaces"),
      Given.deployments(
        this.#version,
        ...Array.from(this.deployments, ([path, { replicas, version }]) => [path, replicas, version] as const)
      ),
      heard("deployments")
    ]
  }

  /** Emits the lists again, as after a watch that expired. */
  relist(): void {
    this.tell({ _tag: "Lost", resource: "deployments" })
    this.tell({ _tag: "Lost", resource: "namespaces" })
    for (const event of this.lists()) this.tell(event)
  }

  put(path: string): void {
    const [namespace = ""] = path.split("/")
    if (!this.namespaces.has(namespace)) this.createNamespace(namespace)
    const version = ++this.#version
    this.deployments.set(path, { replicas: version, version })
    this.#changed()
    this.tell(Given.applied(path, version, version))
  }

  delete(path: string): void {
    if (!this.deployments.delete(path)) return
    this.#changed()
    this.tell(Given.deleted(path, ++this.#version))
  }

  createNamespace(name: string): void {
    this.namespaces.add(name)
    this.#changed()
    this.tell(Given.namespaceApplied(name, ++this.#version))
  }

  deleteNamespace(name: string): void {
    for (const path of this.deployments.keys()) if (path.startsWith(`${name}/`)) this.delete(path)
    if (!this.namespaces.delete(name)) return
    this.#changed()
    this.tell(Given.namespaceDeleted(name, ++this.#version))
  }

  /** The watches break, and the API server does not answer. The cluster changes all the same. */
  leave(): void {
    if (this.#isAway) return
    this.tell({ _tag: "Lost", resource: "deployments" })
    this.tell({ _tag: "Lost", resource: "namespaces" })
    this.#isAway = true
  }

  /** The API server answers again. */
  comeBack(): void {
    if (!this.#isAway) return
    this.#isAway = false
    for (const event of this.lists()) this.tell(event)
  }

  #changed(): void {
    this.history.record(truth(this), performance.now())
  }

  tell(event: ClusterEvent): void {
    if (!this.#isAway) for (const queue of this.#watching) Queue.offerUnsafe(queue, event)
  }
}
