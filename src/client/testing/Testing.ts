/**
 * An in-memory cluster for tests of programs that use the client. It provides the `HttpClient` of `Client.make` and
 * implements the contract: reads, writes, entity tags, waits and streams. A test can change the cluster and inject faults.
 *
 * All delays use Effect's clock, so a `TestClock` controls them.
 */
import { Context, type Duration, Effect, Layer, Ref, SubscriptionRef } from "effect"
import { HttpClient } from "effect/http"
import type { EndReason } from "../../contract/Events.ts"
import { DeploymentName, NamespaceName, ReplicaCount } from "../../contract/Names.ts"
import type { Problem } from "../../contract/Problems.ts"
import * as State from "./ClusterState.ts"
import type { Moment } from "./Events.ts"
import * as Faults from "./Faults.ts"
import * as Responses from "./Responses.ts"

export type { EndReason } from "../../contract/Events.ts"
export type { FaultOptions } from "./Faults.ts"
export type { Options, Received } from "./Responses.ts"
export type { EndpointName } from "./Routes.ts"

/** The content of a cluster: namespaces, their deployments, and the replica count of each. */
export interface Cluster {
  readonly [namespace: string]: { readonly [deployment: string]: number }
}

const namespacesOf = (content: Cluster): State.Namespaces =>
  new Map(
    Object.entries(content).map(([namespace, deployments]) => [
      NamespaceName.make(namespace),
      new Map(Object.entries(deployments).map(([name, count]) => [DeploymentName.make(name), ReplicaCount.make(count)]))
    ])
  )

const contentOf = (namespaces: State.Namespaces): Cluster =>
  Object.fromEntries([...namespaces].map(([namespace, deployments]) => [namespace, Object.fromEntries(deployments)]))

/** The in-memory cluster. A name or a count that Kubernetes does not allow is a defect. */
export class TestCluster extends Context.Service<
  TestCluster,
  {
    /** The content of the cluster. */
    readonly content: Effect.Effect<Cluster>
    /** Replaces the content, in one step. */
    readonly replace: (content: Cluster) => Effect.Effect<void>
    readonly createNamespace: (namespace: string) => Effect.Effect<void>
    /** Deletes a namespace with its deployments. */
    readonly deleteNamespace: (namespace: string) => Effect.Effect<void>
    /** Sets a replica count. Creates the deployment and its namespace where they are missing. */
    readonly setReplicaCount: (namespace: string, deployment: string, count: number) => Effect.Effect<void>
    readonly deleteDeployment: (namespace: string, deployment: string) => Effect.Effect<void>
    /** Answers the next requests with a problem. */
    readonly refuse: (problem: Problem, options?: Faults.FaultOptions) => Effect.Effect<void>
    /** Delays the responses to the next requests. */
    readonly delay: (duration: Duration.Input, options?: Faults.FaultOptions) => Effect.Effect<void>
    /** Closes the connections of the next requests without a response. */
    readonly disconnect: (options?: Faults.FaultOptions) => Effect.Effect<void>
    /** Ends all open streams with an `end` event for this reason. */
    readonly endStreams: (reason: EndReason) => Effect.Effect<void>
    /** Closes the connections of all open streams without an `end` event. */
    readonly disconnectStreams: Effect.Effect<void>
    /** The requests so far, oldest first. */
    readonly requests: Effect.Effect<ReadonlyArray<Responses.Received>>
  }
>()("kube-resource-api-client/testing/TestCluster") {}

const make = Effect.fnUntraced(function* (content: Cluster, options: Responses.Options) {
  const cluster = yield* SubscriptionRef.make<Moment>({
    namespaces: namespacesOf(content),
    version: 1,
    endings: 0,
    ending: "shutdown"
  })
  const faults = yield* Faults.make
  const received = yield* Ref.make<ReadonlyArray<Responses.Received>>([])

  const edit = (change: (namespaces: State.Namespaces) => State.Namespaces) =>
    SubscriptionRef.update(cluster, (now) => ({
      ...now,
      namespaces: change(now.namespaces),
      version: now.version + 1
    }))
  const end = (ending: Moment["ending"]) =>
    SubscriptionRef.update(cluster, (now) => ({ ...now, endings: now.endings + 1, ending }))

  const client = Responses.client(cluster, options, faults.take, (request) =>
    Ref.update(received, (all) => [...all, request])
  )
  const control = TestCluster.of({
    content: Effect.map(SubscriptionRef.get(cluster), ({ namespaces }) => contentOf(namespaces)),
    replace: (content) => edit(() => namespacesOf(content)),
    createNamespace: (namespace) => edit((all) => State.withNamespace(all, NamespaceName.make(namespace))),
    deleteNamespace: (namespace) => edit((all) => State.withoutNamespace(all, NamespaceName.make(namespace))),
    setReplicaCount: (namespace, deployment, count) =>
      edit((all) =>
        State.withCount(all, NamespaceName.make(namespace), DeploymentName.make(deployment), ReplicaCount.make(count))
      ),
    deleteDeployment: (namespace, deployment) =>
      edit((all) => State.withoutDeployment(all, NamespaceName.make(namespace), DeploymentName.make(deployment))),
    refuse: (problem, options) => faults.order({ _tag: "Refused", problem }, options),
    delay: (duration, options) => faults.order({ _tag: "Delayed", duration }, options),
    disconnect: (options) => faults.order({ _tag: "Disconnected" }, options),
    endStreams: end,
    disconnectStreams: end("connection lost"),
    requests: Ref.get(received)
  })
  return Context.make(HttpClient.HttpClient, client).pipe(Context.add(TestCluster, control))
})

/** The `HttpClient` of an in-memory cluster, and the `TestCluster` that controls it. */
export const layer = (
  content: Cluster,
  options: Responses.Options = {}
): Layer.Layer<HttpClient.HttpClient | TestCluster> => Layer.effectContext(make(content, options))
