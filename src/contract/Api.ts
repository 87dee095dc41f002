/**
 * The contract: every endpoint with its parameters, its body and its problems. The server, the OpenAPI document and the
 * typed client are all made from it.
 */
import { Schema, SchemaTransformation } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Any, DeploymentName, NamespaceName } from "./Names.ts"
import { maxReplicaCount, ReplicaCount } from "./ReplicaCount.ts"
import {
  ClusterUnavailableProblem,
  HeaderFieldsTooLargeProblem,
  InternalProblem,
  NotFoundProblem,
  NotReadyProblem,
  RequestTimeoutProblem,
  TooManyRequestsProblem,
  UnauthorizedProblem,
  UriTooLongProblem
} from "../http/ErrorResponse.ts"
import { Audited } from "../http/Audited.ts"
import { Identified } from "../http/Identified.ts"

const namespaceParameter = NamespaceName.annotate({
  description: "A namespace's name: a DNS-1123 label of at most 63 characters.",
  expected: "a namespace's name (a DNS-1123 label of at most 63 characters)"
})

const namespaceOrAny = Schema.Union([Any, namespaceParameter]).annotate({
  description: "A namespace's name, or ANY for all.",
  expected: "a namespace's name (a DNS-1123 label of at most 63 characters) or ANY"
})

const deploymentParameter = DeploymentName.annotate({
  description: "A deployment's name: a DNS-1123 subdomain of at most 253 characters.",
  expected: "a deployment's name (a DNS-1123 subdomain of at most 253 characters)"
})

const deploymentOrAny = Schema.Union([Any, deploymentParameter]).annotate({
  description: "A deployment's name, or ANY for all.",
  expected: "a deployment's name (a DNS-1123 subdomain of at most 253 characters) or ANY"
})

/** A replica count as a path holds it: decimal, no sign, no leading zero, nothing else. */
export const ReplicaCountParameter = Schema.String.check(
  Schema.isPattern(/^(?:0|[1-9][0-9]{0,9})$/, { expected: `a decimal integer 0..${maxReplicaCount}` })
).pipe(Schema.decodeTo(ReplicaCount, SchemaTransformation.transform({ decode: Number, encode: String })))

/** `{"namespaces":[...]}` */
export const NamespaceList = Schema.Struct({ namespaces: Schema.Array(NamespaceName) })

/** One namespace's deployments, by name. */
export const DeploymentList = Schema.Struct({
  namespace: NamespaceName,
  deployments: Schema.Array(DeploymentName)
})

/** One deployment's desired count. */
export const DeploymentReplicaCount = Schema.Struct({
  namespace: NamespaceName,
  deployment: DeploymentName,
  replica_count: ReplicaCount
})

/** The desired counts of a namespace's deployments. */
export const NamespaceReplicaCounts = Schema.Struct({
  namespace: NamespaceName,
  deployments: Schema.Array(Schema.Struct({ deployment: DeploymentName, replica_count: ReplicaCount }))
})

/** The version of Prometheus' text format that `/metrics` speaks. */
export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8"

const Nothing = Schema.Struct({})

const always = [
  UriTooLongProblem,
  HeaderFieldsTooLargeProblem,
  RequestTimeoutProblem,
  TooManyRequestsProblem,
  InternalProblem
] as const
const reading = [...always, UnauthorizedProblem, NotReadyProblem, NotFoundProblem] as const

const describe = (summary: string, description: string) => OpenApi.annotations({ summary, description })

/** Endpoints 1-4: the cluster's resources. */
export class Resources extends HttpApiGroup.make("resources", { topLevel: true })
  .add(
    HttpApiEndpoint.get("listNamespaces", "/namespaces", { success: NamespaceList, error: reading }).annotateMerge(
      describe("List namespaces", "Names of all namespaces, sorted. Answered from the cache; `Age` says how old it is.")
    ),
    HttpApiEndpoint.get("listDeployments", "/namespaces/:namespace/deployments", {
      params: { namespace: namespaceOrAny },
      success: Schema.Union([DeploymentList, Schema.Array(DeploymentList)]),
      error: reading
    }).annotateMerge(
      describe(
        "List deployments",
        "Names of a namespace's deployments, sorted; with ANY an array of such lists, one for each namespace, also those with none."
      )
    ),
    HttpApiEndpoint.get("getReplicaCount", "/namespaces/:namespace/deployments/:deployment/replica_count", {
      params: { namespace: namespaceOrAny, deployment: deploymentOrAny },
      success: Schema.Union([
        DeploymentReplicaCount,
        NamespaceReplicaCounts,
        Schema.Array(DeploymentReplicaCount),
        Schema.Array(NamespaceReplicaCounts)
      ]),
      error: reading
    }).annotateMerge(
      describe(
        "Get replica counts",
        "A deployment's desired count. With ANY as deployment: all of the namespace's. With ANY as namespace: an array, one entry for each namespace (that has the deployment)."
      )
    ),
    HttpApiEndpoint.put(
      "setReplicaCount",
      "/namespaces/:namespace/deployments/:deployment/replica_count/:replica_count",
      {
        params: {
          namespace: namespaceParameter,
          deployment: deploymentParameter,
          replica_count: ReplicaCountParameter
        },
        success: Nothing,
        error: [...reading, ClusterUnavailableProblem]
      }
    ).annotateMerge(
      describe(
        "Set a replica count",
        "Sets a deployment's desired count. 200 once the cluster has accepted it; a read on the same instance that starts after that sees it."
      )
    )
  )
  .middleware(Identified)
  .middleware(Audited) {}

/** Endpoints 5 and 6: for probes, without identity. */
export class Probes extends HttpApiGroup.make("probes", { topLevel: true }).add(
  HttpApiEndpoint.get("livez", "/livez", { success: Nothing, error: always }).annotateMerge(
    describe("Is the process alive", "Never depends on the cluster.")
  ),
  HttpApiEndpoint.get("readyz", "/readyz", { success: Nothing, error: [...always, NotReadyProblem] }).annotateMerge(
    describe("Can it serve reads", "503 until the first full sync, and again from the moment shutdown begins.")
  )
) {}

/** The contract's own description. */
export class Description extends HttpApiGroup.make("description", { topLevel: true })
  .add(
    HttpApiEndpoint.get("openapi", "/openapi.json", { success: Schema.Unknown, error: always }).annotateMerge(
      describe("This document", "The OpenAPI description of this API.")
    )
  )
  .middleware(Identified) {}

/** What the service tells of itself, in Prometheus' text format. */
export class Metrics extends HttpApiGroup.make("metrics", { topLevel: true })
  .add(
    HttpApiEndpoint.get("metrics", "/metrics", {
      success: Schema.String.pipe(HttpApiSchema.asText({ contentType: metricsContentType })),
      error: [...always, UnauthorizedProblem]
    }).annotateMerge(
      describe(
        "Metrics",
        "The service's metrics in Prometheus' text format, for callers that are permitted to `get metrics`."
      )
    )
  )
  .middleware(Identified) {}

/** The whole API. */
export class Api extends HttpApi.make("kube-resource-api")
  .add(Resources)
  .add(Probes)
  .add(Description)
  .add(Metrics)
  .annotateMerge(
    OpenApi.annotations({
      title: "kube-resource-api",
      version: "1.0.0",
      description:
        "Namespaces, deployments and replica counts of a Kubernetes cluster, over mutual TLS. The client certificate is the identity: CN the user, each O a group. Every response carries X-Request-Id; errors are RFC 9457 problems whose `code` is the error's name."
    })
  ) {}

/** What an instance answers that serves no clients: the API without the cluster's resources. */
export class WatcherApi extends HttpApi.make("kube-resource-api")
  .add(Probes)
  .add(Description)
  .add(Metrics)
  .annotateMerge(
    OpenApi.annotations({
      title: "kube-resource-api watcher",
      version: "1.0.0",
      description: "An instance that follows the cluster for those that serve it: probes and metrics alone."
    })
  ) {}
