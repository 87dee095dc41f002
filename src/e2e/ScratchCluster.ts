import { Context, Data, Effect, Layer, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import { KubeHttp } from "../kube/KubeHttp.ts"

/** An operation on the cluster failed. */
export class ClusterFailed extends Data.TaggedError("ClusterFailed")<{
  readonly operation: string
  readonly problem: string
}> {
  override get message(): string {
    return `The cluster could not ${this.operation}: ${this.problem}`
  }
}

const Scale = Schema.Struct({
  spec: Schema.optional(Schema.NullOr(Schema.Struct({ replicas: Schema.optional(Schema.Number) })))
})
const decodeScale = Schema.decodeUnknownEffect(Schema.fromJsonString(Scale))

// A paused deployment has a desired count and creates no pods.
const deploymentOf = (name: string, replicas: number | undefined) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    ...(replicas === undefined ? {} : { replicas }),
    paused: true,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: "pause", image: "registry.k8s.io/pause:3.10" }] }
    }
  }
})

const make = Effect.gen(function* () {
  const client = yield* KubeHttp

  const ask = (operation: string, request: HttpClientRequest.HttpClientRequest, alsoFine: ReadonlyArray<number> = []) =>
    client.execute(request.pipe(HttpClientRequest.acceptJson)).pipe(
      Effect.flatMap((response) => Effect.map(response.text, (text) => ({ status: response.status, text }))),
      Effect.scoped,
      Effect.timeout("30 seconds"),
      Effect.mapError((error) => new ClusterFailed({ operation, problem: error.message })),
      Effect.flatMap((answer) =>
        (answer.status >= 200 && answer.status < 300) || alsoFine.includes(answer.status)
          ? Effect.succeed(answer.text)
          : Effect.fail(new ClusterFailed({ operation, problem: `${answer.status} ${answer.text.slice(0, 300)}` }))
      )
    )
  const deployments = (namespace: string) => `/apis/apps/v1/namespaces/${namespace}/deployments`
  const scale = (namespace: string, name: string) => `${deployments(namespace)}/${name}/scale`

  return ScratchCluster.of({
    createNamespace: (name) =>
      Effect.asVoid(
        ask(
          `create namespace ${name}`,
          HttpClientRequest.post("/api/v1/namespaces").pipe(
            HttpClientRequest.bodyJsonUnsafe({ apiVersion: "v1", kind: "Namespace", metadata: { name } })
          )
        )
      ),
    deleteNamespace: (name) =>
      Effect.asVoid(
        ask(`delete namespace ${name}`, HttpClientRequest.delete(`/api/v1/namespaces/${name}`), [404, 409])
      ),
    createDeployment: (namespace, name, replicas) =>
      Effect.asVoid(
        ask(
          `create deployment ${namespace}/${name}`,
          HttpClientRequest.post(deployments(namespace)).pipe(
            HttpClientRequest.bodyJsonUnsafe(deploymentOf(name, replicas))
          )
        )
      ),
    deleteDeployment: (namespace, name) =>
      Effect.asVoid(
        ask(`delete deployment ${namespace}/${name}`, HttpClientRequest.delete(`${deployments(namespace)}/${name}`))
      ),
    setReplicas: (namespace, name, replicas) =>
      Effect.asVoid(
        ask(
          `scale deployment ${namespace}/${name}`,
          HttpClientRequest.patch(scale(namespace, name)).pipe(
            HttpClientRequest.bodyText(JSON.stringify({ spec: { replicas } }), "application/merge-patch+json")
          )
        )
      ),
    replicas: (namespace, name) =>
      ask(`get the scale of ${namespace}/${name}`, HttpClientRequest.get(scale(namespace, name))).pipe(
        Effect.flatMap((text) =>
          Effect.mapError(
            decodeScale(text),
            (error) => new ClusterFailed({ operation: "describe a scale", problem: error.message })
          )
        ),
        Effect.map(({ spec }) => spec?.replicas ?? 0)
      )
  })
})

/** The cluster behind the service: the suite creates objects in it and reads what a write has stored. */
export class ScratchCluster extends Context.Service<
  ScratchCluster,
  {
    readonly createNamespace: (name: string) => Effect.Effect<void, ClusterFailed>
    /** Also succeeds if it does not exist. */
    readonly deleteNamespace: (name: string) => Effect.Effect<void, ClusterFailed>
    /** Creates a deployment without pods. `undefined` leaves the count to the cluster's default. */
    readonly createDeployment: (
      namespace: string,
      name: string,
      replicas: number | undefined
    ) => Effect.Effect<void, ClusterFailed>
    readonly deleteDeployment: (namespace: string, name: string) => Effect.Effect<void, ClusterFailed>
    readonly setReplicas: (namespace: string, name: string, replicas: number) => Effect.Effect<void, ClusterFailed>
    /** The desired count that the cluster stores. */
    readonly replicas: (namespace: string, name: string) => Effect.Effect<number, ClusterFailed>
  }
>()("kube-resource-api/e2e/ScratchCluster") {}

/** The cluster that `KubeHttp` reaches. */
export const layer: Layer.Layer<ScratchCluster, never, KubeHttp> = Layer.effect(ScratchCluster, make)
