/**
 * The contract: every endpoint with its parameters, its body and its errors. The server, the OpenAPI document and the typed
 * client derive from it.
 */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import * as Bodies from "./Bodies.ts"
import { describeApi, describeOperation } from "./Document.ts"
import { Audited, Completed, Identified } from "./Middleware.ts"
import { ReplicaCountText } from "./Names.ts"
import { WriteHeaders, WriteQuery } from "./Preconditions.ts"
import { NotReady, PreconditionFailed, PreconditionRequired } from "./Problems.ts"
import * as Reads from "./Reads.ts"

/** The version of Prometheus' text format that `/metrics` speaks. */
export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8"

/** The cluster's resources: namespaces, deployments and replica counts. */
export class Resources extends HttpApiGroup.make("resources", { topLevel: true })
  .add(
    Reads.namespaces.plain,
    Reads.deployments.plain,
    Reads.allDeployments.plain,
    Reads.replicaCount.plain,
    Reads.replicaCounts.plain,
    Reads.allReplicaCounts.plain,
    Reads.foundReplicaCounts.plain,
    HttpApiEndpoint.put(
      "setReplicaCount",
      "/namespaces/:namespace/deployments/:deployment/replica_count/:replica_count",
      {
        params: { namespace: Reads.namespace, deployment: Reads.deployment, replica_count: ReplicaCountText },
        headers: WriteHeaders,
        query: WriteQuery,
        success: Bodies.Empty,
        error: [...Reads.reading, PreconditionFailed, PreconditionRequired]
      }
    )
      .annotateMerge(
        describeOperation(
          "Set a replica count",
          "Sets the desired replica count of a deployment. 200 once the cluster has accepted it; a read on the same instance that starts after the response sees the new count. With `If-Match` the write is one atomic compare-and-set in the cluster. The response is 412 with the current count if the desired count is a different one, and 200 if it is already the count to set, so that a retry is safe. With `dryRun=All` the cluster checks everything and changes nothing.",
          "write"
        )
      )
      .annotate(HttpApi.QueryParseOptions, { onExcessProperty: "error" })
  )
  .annotateMerge(
    OpenApi.annotations({
      title: "Resources",
      description:
        "Namespaces, deployments and replica counts. Reads are answered from the cache; `Age` is its age.\n\nA read with `If-None-Match` is conditional, and with `Prefer: wait=N` it waits for a change.\n\nA read with `Accept: text/event-stream` is a stream of server-sent events. `snapshot` has the body of the read. Each `change` has the new values of the items that changed since the previous event. The `id` of both is the entity tag. After their data comes the comment `: version <text>`. The service sends a comment after every 15 seconds without an event. `end` has the reason why the service ends the stream.\n\nTo resume, reconnect after the time in `retry`, with `Last-Event-ID: <id>` and `Last-Event-Version: <text>` of the last event. The stream then starts with the changes or with a new snapshot, and never shows an older state, on any instance. After `permission`, the next request gets 401; after `gone`, it gets 410."
    })
  )
  .middleware(Identified)
  .middleware(Audited)
  .middleware(Completed) {}

/** Liveness and readiness, without identity. */
export class Probes extends HttpApiGroup.make("probes", { topLevel: true })
  .add(
    HttpApiEndpoint.get("livez", "/livez", { success: Bodies.Empty, error: Reads.always }).annotateMerge(
      describeOperation("Get liveness", "Whether the process is alive. Never depends on the cluster.", "probe")
    ),
    HttpApiEndpoint.get("readyz", "/readyz", {
      success: Bodies.Empty,
      error: [...Reads.always, NotReady]
    }).annotateMerge(
      describeOperation(
        "Get readiness",
        "503 until the first full sync, and again from the moment shutdown begins.",
        "probe"
      )
    )
  )
  .annotateMerge(OpenApi.annotations({ title: "Probes", description: "Liveness and readiness, without identity." }))
  .middleware(Completed) {}

/** The description of the contract. */
export class Description extends HttpApiGroup.make("description", { topLevel: true })
  .add(
    HttpApiEndpoint.get("openapi", "/openapi.json", {
      success: Schema.Unknown,
      error: [...Reads.always, NotReady]
    }).annotateMerge(describeOperation("Get the OpenAPI document", "The OpenAPI description of this API."))
  )
  .annotateMerge(OpenApi.annotations({ title: "Description", description: "The description of this API." }))
  .middleware(Identified)
  .middleware(Completed) {}

/** The service's own metrics. */
export class Metrics extends HttpApiGroup.make("metrics", { topLevel: true })
  .add(
    HttpApiEndpoint.get("metrics", "/metrics", {
      success: Schema.String.pipe(HttpApiSchema.asText({ contentType: metricsContentType })),
      error: [...Reads.permitted, NotReady]
    }).annotateMerge(
      describeOperation("Get metrics", "Prometheus' text format, for callers that are permitted to `get metrics`.")
    )
  )
  .annotateMerge(OpenApi.annotations({ title: "Metrics", description: "The service's own metrics." }))
  .middleware(Identified)
  .middleware(Completed) {}

/** The whole API. */
export class Api extends HttpApi.make("kube-resource-api")
  .add(Resources)
  .add(Probes)
  .add(Description)
  .add(Metrics)
  .annotateMerge(
    describeApi(
      "kube-resource-api",
      "Namespaces, deployments and replica counts of a Kubernetes cluster, over mutual TLS. The client certificate is the identity: the subject's CN is the user, each O a group. Errors are RFC 9457 problems; `code` is the error's name.",
      () => [OpenApi.fromApi(Reads.ConditionalReads), OpenApi.fromApi(Reads.Streams)]
    )
  ) {}

/** The API of a watcher, which serves no clients: without the cluster's resources. */
export class WatcherApi extends HttpApi.make("kube-resource-api")
  .add(Probes)
  .add(Description)
  .add(Metrics)
  .annotateMerge(
    describeApi(
      "kube-resource-api watcher",
      "An instance that watches the cluster for the instances that serve clients: probes and metrics alone."
    )
  ) {}

/** The path of the metrics. */
export const metricsPath = Metrics.endpoints.metrics.path

/** The paths of the probes: they need no identity and no in-flight place. */
export const probePaths: ReadonlyArray<string> = Object.values(Probes.endpoints).map(({ path }) => path)
