/**
 * The contract: every endpoint with its parameters, its body and its errors. The server, the OpenAPI document and the typed
 * client derive from it.
 */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import * as Bodies from "./Bodies.ts"
import { describeApi, describeOperation } from "./Document.ts"
import { Audited, Completed, Identified } from "./Middleware.ts"
import { DeploymentName, NamespaceName, ReplicaCountText } from "./Names.ts"
import { WriteHeaders, WriteQuery } from "./Preconditions.ts"
import {
  ClusterUnavailable,
  HeaderFieldsTooLarge,
  Internal,
  NotFound,
  NotReady,
  PreconditionFailed,
  PreconditionRequired,
  RequestTimeout,
  Unauthorized,
  UriTooLong
} from "./Problems.ts"

const namespaceText = "a namespace's name (a DNS-1123 label of at most 63 characters)"
const deploymentText = "a deployment's name (a DNS-1123 subdomain of at most 253 characters)"

const namespace = NamespaceName.annotate({
  description: "A namespace's name: a DNS-1123 label of at most 63 characters.",
  expected: namespaceText,
  examples: [NamespaceName.make("personal")]
})

const deployment = DeploymentName.annotate({
  description: "A deployment's name: a DNS-1123 subdomain of at most 253 characters.",
  expected: deploymentText,
  examples: [DeploymentName.make("nginx")]
})

// `ANY` has routes of its own. The error of a misspelled `ANY` mentions it.
const namespaceOfRead = namespace.annotate({ expected: `${namespaceText} or ANY` })
const deploymentOfRead = deployment.annotate({ expected: `${deploymentText} or ANY` })

/** The version of Prometheus' text format that `/metrics` speaks. */
export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8"

const always = [UriTooLong, HeaderFieldsTooLarge, RequestTimeout, Internal] as const
const permitted = [...always, Unauthorized, ClusterUnavailable] as const
const reading = [...permitted, NotReady, NotFound] as const
const writing = [...reading, PreconditionFailed, PreconditionRequired] as const

/** The cluster's resources: namespaces, deployments and replica counts. */
export class Resources extends HttpApiGroup.make("resources", { topLevel: true })
  .add(
    HttpApiEndpoint.get("listNamespaces", "/namespaces", {
      success: Bodies.NamespaceList,
      error: reading
    }).annotateMerge(describeOperation("List namespaces", "Names of all namespaces, sorted.", "read")),
    HttpApiEndpoint.get("listDeployments", "/namespaces/:namespace/deployments", {
      params: { namespace: namespaceOfRead },
      success: Bodies.DeploymentList,
      error: reading
    }).annotateMerge(
      describeOperation("List the deployments of a namespace", "Names of a namespace's deployments, sorted.", "read")
    ),
    HttpApiEndpoint.get("listAllDeployments", "/namespaces/ANY/deployments", {
      success: Bodies.AllDeploymentLists,
      error: reading
    }).annotateMerge(
      describeOperation(
        "List all deployments",
        "One list for each namespace, also for a namespace without deployments.",
        "read"
      )
    ),
    HttpApiEndpoint.get("getReplicaCount", "/namespaces/:namespace/deployments/:deployment/replica_count", {
      params: { namespace: namespaceOfRead, deployment: deploymentOfRead },
      success: Bodies.DeploymentReplicaCount,
      error: reading
    }).annotateMerge(describeOperation("Get a replica count", "The desired replica count of one deployment.", "read")),
    HttpApiEndpoint.get("listReplicaCounts", "/namespaces/:namespace/deployments/ANY/replica_count", {
      params: { namespace: namespaceOfRead },
      success: Bodies.NamespaceReplicaCounts,
      error: reading
    }).annotateMerge(
      describeOperation(
        "List the replica counts of a namespace",
        "The desired replica counts of all deployments of a namespace.",
        "read"
      )
    ),
    HttpApiEndpoint.get("listAllReplicaCounts", "/namespaces/ANY/deployments/ANY/replica_count", {
      success: Bodies.AllReplicaCounts,
      error: reading
    }).annotateMerge(
      describeOperation("List all replica counts", "The desired replica counts, one entry for each namespace.", "read")
    ),
    HttpApiEndpoint.get("findReplicaCounts", "/namespaces/ANY/deployments/:deployment/replica_count", {
      params: { deployment: deploymentOfRead },
      success: Bodies.ReplicaCountsByNamespace,
      error: reading
    }).annotateMerge(
      describeOperation(
        "Find a deployment in all namespaces",
        "The desired replica counts of the deployments of this name, one for each namespace that has it.",
        "read"
      )
    ),
    HttpApiEndpoint.put(
      "setReplicaCount",
      "/namespaces/:namespace/deployments/:deployment/replica_count/:replica_count",
      {
        params: { namespace, deployment, replica_count: ReplicaCountText },
        headers: WriteHeaders,
        query: WriteQuery,
        success: Bodies.Empty,
        error: writing
      }
    )
      .annotateMerge(
        describeOperation(
          "Set a replica count",
          "Sets the desired replica count of a deployment. 200 once the cluster has accepted it; a read on the same instance that starts after the response sees the new count. With `If-Match` the write is one atomic compare-and-set in the cluster: 412 with the current count if the desired count is another one, 200 if it is already the one to set, so that a retry is safe. With `dryRun=All` the cluster checks everything and changes nothing.",
          "write"
        )
      )
      .annotate(HttpApi.QueryParseOptions, { onExcessProperty: "error" })
  )
  .annotateMerge(
    OpenApi.annotations({
      title: "Resources",
      description:
        "Namespaces, deployments and replica counts. Reads are answered from the cache; `Age` tells how old it is."
    })
  )
  .middleware(Identified)
  .middleware(Audited)
  .middleware(Completed) {}

/** Liveness and readiness, without identity. */
export class Probes extends HttpApiGroup.make("probes", { topLevel: true })
  .add(
    HttpApiEndpoint.get("livez", "/livez", { success: Bodies.Empty, error: always }).annotateMerge(
      describeOperation("Get liveness", "Whether the process is alive. Never depends on the cluster.", "probe")
    ),
    HttpApiEndpoint.get("readyz", "/readyz", { success: Bodies.Empty, error: [...always, NotReady] }).annotateMerge(
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
      error: [...always, NotReady]
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
      error: [...permitted, NotReady]
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
      "Namespaces, deployments and replica counts of a Kubernetes cluster, over mutual TLS. The client certificate is the identity: the subject's CN is the user, each O a group. Errors are RFC 9457 problems; `code` is the error's name."
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
