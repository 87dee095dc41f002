/** Finds the endpoint of a request and decodes its parts, as the contract declares them. */
import { Result, Schema } from "effect"
import { Description, Metrics, Probes, Resources } from "../../contract/Api.ts"
import { type DeploymentName, type NamespaceName, type ReplicaCount, ReplicaCountText } from "../../contract/Names.ts"
import { matching } from "../../contract/PathTemplate.ts"
import { BadRequest } from "../../contract/Problems.ts"
import * as Reads from "../../contract/Reads.ts"
import type { Target } from "./ClusterState.ts"

const services = [
  Probes.endpoints.livez,
  Probes.endpoints.readyz,
  Description.endpoints.openapi,
  Metrics.endpoints.metrics
] as const

/** The name of an endpoint; that of a stream is the client's method. */
export type EndpointName =
  | keyof typeof Resources.endpoints
  | (typeof Reads)[ReadName]["stream"]["identifier"]
  | (typeof services)[number]["identifier"]

type ReadName =
  | "namespaces"
  | "deployments"
  | "allDeployments"
  | "replicaCount"
  | "replicaCounts"
  | "allReplicaCounts"
  | "foundReplicaCounts"

/** A deployment and the count to set. */
export interface Write {
  readonly namespace: NamespaceName
  readonly deployment: DeploymentName
  readonly replica_count: ReplicaCount
}

/** A decoded request. */
export type Route =
  | { readonly _tag: "Read"; readonly target: Target }
  | { readonly _tag: "Write"; readonly write: Write }
  | { readonly _tag: "Service" }

/** An endpoint, with the decoded request if its path is valid. */
export interface Found {
  readonly endpoint: EndpointName
  /** The name of the endpoint that streams the same path. */
  readonly stream: EndpointName
  readonly route: Result.Result<Route, BadRequest>
}

const longestDetail = 300

const malformed = (error: Schema.SchemaError): BadRequest => {
  const text = error.message.replaceAll(/\s+/g, " ")
  return new BadRequest({ detail: text.length > longestDetail ? `${text.slice(0, longestDetail - 1)}…` : text })
}

/** Decodes a part of a request. Fails with `BadRequest` if it is malformed or, with `strict`, has other members. */
export const decoded = <A>(schema: Schema.ConstraintDecoder<A, never>, value: unknown, strict = false) =>
  Schema.decodeUnknownResult(schema, { onExcessProperty: strict ? "error" : "ignore" })(value).pipe(
    Result.mapError(malformed)
  )

const unescaped = (segment: string): string =>
  Result.getOrElse(
    Result.try(() => decodeURIComponent(segment)),
    () => segment
  )

interface Endpoint {
  readonly identifier: EndpointName
  readonly path: string
}

const entry = <A>(
  method: "GET" | "PUT",
  { identifier, path: template }: Endpoint,
  stream: EndpointName,
  params: Schema.ConstraintDecoder<A, never>,
  routeOf: (params: A) => Route
) => {
  const match = matching(template)
  return (sent: string, path: string): Found | undefined => {
    const raw = sent === method ? match(path) : undefined
    if (raw === undefined) return undefined
    const segments = Object.fromEntries(Object.entries(raw).map(([name, segment]) => [name, unescaped(segment)]))
    return { endpoint: identifier, stream, route: Result.map(decoded(params, segments), routeOf) }
  }
}

const read = <A>(
  { plain, stream }: { readonly plain: Endpoint; readonly stream: Endpoint },
  params: Schema.ConstraintDecoder<A, never>,
  target: (params: A) => Target
) => entry("GET", plain, stream.identifier, params, (decoded) => ({ _tag: "Read", target: target(decoded) }))

const { deployment, deploymentOfRead, namespace, namespaceOfRead } = Reads
const nothing = Schema.Struct({})
const ofNamespace = Schema.Struct({ namespace: namespaceOfRead })
const ofName = Schema.Struct({ deployment: deploymentOfRead })
const ofBoth = Schema.Struct({ namespace: namespaceOfRead, deployment: deploymentOfRead })
const ofWrite = Schema.Struct({ namespace, deployment, replica_count: ReplicaCountText })

// A path with `ANY` comes before the path with a parameter in its place.
const entries = [
  read(Reads.namespaces, nothing, () => ({ _tag: "Namespaces" })),
  read(Reads.allDeployments, nothing, () => ({ _tag: "Names" })),
  read(Reads.deployments, ofNamespace, (params) => ({ _tag: "Names", ...params })),
  read(Reads.allReplicaCounts, nothing, () => ({ _tag: "Counts" })),
  read(Reads.foundReplicaCounts, ofName, (params) => ({ _tag: "Counts", ...params })),
  read(Reads.replicaCounts, ofNamespace, (params) => ({ _tag: "Counts", ...params })),
  read(Reads.replicaCount, ofBoth, (params) => ({ _tag: "Counts", ...params })),
  entry("PUT", Resources.endpoints.setReplicaCount, "setReplicaCount", ofWrite, (write) => ({ _tag: "Write", write })),
  ...services.map((service) => entry("GET", service, service.identifier, nothing, (): Route => ({ _tag: "Service" })))
]

// An empty segment matches no parameter. A space does, and is not a valid name either.
const withoutEmpty = (path: string): string => path.replaceAll(/\/(?=\/)/g, "/%20")

/** The endpoint of a request; `undefined` if there is none. */
export const find = (method: string, path: string): Found | undefined => {
  for (const one of entries) {
    const found = one(method === "HEAD" ? "GET" : method, withoutEmpty(path))
    if (found !== undefined) return found
  }
  return undefined
}
