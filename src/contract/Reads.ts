/**
 * The reads. Each is declared once and has three endpoints with the same path: the plain read, the conditional read and the
 * event stream. The server routes the plain read and then selects by the header fields. The OpenAPI document describes all
 * three as one operation. The typed client has a method for each.
 */
import { Schema } from "effect"
import type { HttpRouter } from "effect/http"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import * as Bodies from "./Bodies.ts"
import * as Changes from "./Changes.ts"
import { describeOperation } from "./Document.ts"
import { EntityTag } from "./EntityTag.ts"
import { eventsOf } from "./Events.ts"
import { Identified } from "./Middleware.ts"
import { DeploymentName, NamespaceName } from "./Names.ts"
import {
  ClusterUnavailable,
  HeaderFieldsTooLarge,
  Internal,
  NotFound,
  NotReady,
  RequestTimeout,
  Unauthorized,
  UriTooLong
} from "./Problems.ts"

const namespaceText = "a namespace's name (a DNS-1123 label of at most 63 characters)"
const deploymentText = "a deployment's name (a DNS-1123 subdomain of at most 253 characters)"

/** A namespace in a path. */
export const namespace = NamespaceName.annotate({
  description: "A namespace's name: a DNS-1123 label of at most 63 characters.",
  expected: namespaceText,
  examples: [NamespaceName.make("personal")]
})

/** A deployment in a path. */
export const deployment = DeploymentName.annotate({
  description: "A deployment's name: a DNS-1123 subdomain of at most 253 characters.",
  expected: deploymentText,
  examples: [DeploymentName.make("nginx")]
})

// `ANY` has its own routes. Here it is only part of the error message, for a misspelled `ANY`.
/** A namespace in the path of a read. */
export const namespaceOfRead = namespace.annotate({ expected: `${namespaceText} or ANY` })
/** A deployment in the path of a read. */
export const deploymentOfRead = deployment.annotate({ expected: `${deploymentText} or ANY` })

/** The errors of every endpoint. */
export const always = [UriTooLong, HeaderFieldsTooLarge, RequestTimeout, Internal] as const
/** The errors of an endpoint that checks a permission. */
export const permitted = [...always, Unauthorized, ClusterUnavailable] as const
/** The errors of an endpoint of the cluster's resources. */
export const reading = [...permitted, NotReady, NotFound] as const

const tag = EntityTag.make('"12"')

const conditions = {
  "if-none-match": Schema.optionalKey(
    Schema.String.annotate({
      description:
        "Entity tags, or `*`. If one of them is current, the response is 304, or the read waits for a change.",
      examples: [tag]
    })
  ),
  prefer: Schema.optionalKey(
    Schema.String.annotate({
      description:
        "`wait=N` (RFC 7240): if `If-None-Match` matches, wait up to N seconds for a change. The service has a maximum, by default 60 seconds.",
      examples: ["wait=30"]
    })
  )
}

const resumption = {
  "last-event-id": Schema.optionalKey(
    EntityTag.annotate({
      description: "The `id` of the last event. If it is the current entity tag, the stream starts without a snapshot.",
      examples: [tag]
    })
  ),
  "last-event-version": Schema.optionalKey(
    Schema.String.annotate({
      description:
        "The text of the last `: version` comment. The stream then never shows an older state, on any instance.",
      examples: ["4711.4700"]
    })
  )
}

const notModified = HttpApiSchema.Empty(304).annotate({
  description: "The entity tag matches `If-None-Match`, even after the wait."
})

/** Makes the three endpoints of a read. `apply` returns the body after a change. */
const read = <
  const Name extends string,
  const Watch extends string,
  const Path extends HttpRouter.PathInput,
  Body extends Schema.Top,
  Item extends Schema.Top,
  Params extends Schema.Struct.Fields = never
>(options: {
  readonly name: Name
  readonly watch: Watch
  readonly path: Path
  readonly params?: Params
  readonly body: Body
  readonly changes: Schema.$Array<Item>
  readonly apply: (body: Body["Type"], items: ReadonlyArray<Item["Type"]>) => Body["Type"]
  readonly summary: string
  readonly description: string
}) => {
  const { apply, body, changes, description, name, params, path, summary, watch } = options
  const described = describeOperation(summary, description, "read")
  return {
    body,
    changes,
    apply,
    plain: HttpApiEndpoint.get(name, path, { params, success: body, error: reading }).annotateMerge(described),
    conditional: HttpApiEndpoint.get(name, path, {
      params,
      headers: conditions,
      success: [HttpApiSchema.WithHeaders(body, { etag: EntityTag }), notModified],
      error: reading
    }).annotateMerge(described),
    stream: HttpApiEndpoint.get(watch, path, {
      params,
      headers: resumption,
      success: HttpApiSchema.StreamSse({ events: eventsOf(body, changes) }),
      error: reading
    }).annotateMerge(described)
  }
}

/** The names of all namespaces. */
export const namespaces = read({
  name: "listNamespaces",
  watch: "watchNamespaces",
  path: "/namespaces",
  body: Bodies.NamespaceList,
  changes: Changes.NamespaceChanges,
  apply: Changes.applyToNamespaces,
  summary: "List namespaces",
  description: "Names of all namespaces, sorted."
})

/** The names of a namespace's deployments. */
export const deployments = read({
  name: "listDeployments",
  watch: "watchDeployments",
  path: "/namespaces/:namespace/deployments",
  params: { namespace: namespaceOfRead },
  body: Bodies.DeploymentList,
  changes: Changes.DeploymentChanges,
  apply: Changes.applyToDeployments,
  summary: "List the deployments of a namespace",
  description: "Names of a namespace's deployments, sorted."
})

/** The names of all deployments. */
export const allDeployments = read({
  name: "listAllDeployments",
  watch: "watchAllDeployments",
  path: "/namespaces/ANY/deployments",
  body: Bodies.AllDeploymentLists,
  changes: Changes.AllDeploymentChanges,
  apply: Changes.applyToAllDeployments,
  summary: "List all deployments",
  description: "One list for each namespace, even without deployments."
})

/** The replica count of one deployment. */
export const replicaCount = read({
  name: "getReplicaCount",
  watch: "watchReplicaCount",
  path: "/namespaces/:namespace/deployments/:deployment/replica_count",
  params: { namespace: namespaceOfRead, deployment: deploymentOfRead },
  body: Bodies.DeploymentReplicaCount,
  changes: Changes.CountChanges,
  apply: Changes.applyToReplicaCount,
  summary: "Get a replica count",
  description: "The desired replica count of one deployment."
})

/** The replica counts of a namespace's deployments. */
export const replicaCounts = read({
  name: "listReplicaCounts",
  watch: "watchReplicaCounts",
  path: "/namespaces/:namespace/deployments/ANY/replica_count",
  params: { namespace: namespaceOfRead },
  body: Bodies.NamespaceReplicaCounts,
  changes: Changes.CountChanges,
  apply: Changes.applyToReplicaCounts,
  summary: "List the replica counts of a namespace",
  description: "The desired replica counts of all deployments of a namespace."
})

/** The replica counts of all deployments. */
export const allReplicaCounts = read({
  name: "listAllReplicaCounts",
  watch: "watchAllReplicaCounts",
  path: "/namespaces/ANY/deployments/ANY/replica_count",
  body: Bodies.AllReplicaCounts,
  changes: Changes.AllCountChanges,
  apply: Changes.applyToAllReplicaCounts,
  summary: "List all replica counts",
  description: "The desired replica counts, one entry for each namespace."
})

/** The replica counts of the deployments of one name. */
export const foundReplicaCounts = read({
  name: "findReplicaCounts",
  watch: "watchFoundReplicaCounts",
  path: "/namespaces/ANY/deployments/:deployment/replica_count",
  params: { deployment: deploymentOfRead },
  body: Bodies.ReplicaCountsByNamespace,
  changes: Changes.CountChanges,
  apply: Changes.applyToFoundCounts,
  summary: "Find a deployment in all namespaces",
  description: "The desired replica counts of the deployments of this name, one for each namespace that has it."
})

/** The conditional reads. */
export class ConditionalReads extends HttpApi.make("conditional-reads").add(
  HttpApiGroup.make("conditionalReads", { topLevel: true })
    .add(
      namespaces.conditional,
      deployments.conditional,
      allDeployments.conditional,
      replicaCount.conditional,
      replicaCounts.conditional,
      allReplicaCounts.conditional,
      foundReplicaCounts.conditional
    )
    .middleware(Identified)
) {}

/** The event streams. */
export class Streams extends HttpApi.make("streams").add(
  HttpApiGroup.make("streams", { topLevel: true })
    .add(
      namespaces.stream,
      deployments.stream,
      allDeployments.stream,
      replicaCount.stream,
      replicaCounts.stream,
      allReplicaCounts.stream,
      foundReplicaCounts.stream
    )
    .middleware(Identified)
) {}
