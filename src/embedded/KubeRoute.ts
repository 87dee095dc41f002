import type { WatchedResource } from "../model/ClusterEvent.ts"

/** A request's verb, as authorization names it. */
export type RequestVerb = "list" | "watch" | "get" | "patch" | "update" | "create" | "delete"

/** The target of a request. Without `namespace` it is the whole cluster. */
export type KubeTarget =
  | { readonly _tag: "Collection"; readonly resource: WatchedResource; readonly namespace: string | undefined }
  | { readonly _tag: "Namespace"; readonly name: string }
  | { readonly _tag: "Deployment"; readonly namespace: string; readonly name: string }
  | { readonly _tag: "Scale"; readonly namespace: string; readonly name: string }
  | { readonly _tag: "Events"; readonly group: "" | "events.k8s.io"; readonly namespace: string }
  | { readonly _tag: "AccessReview" }
  | { readonly _tag: "Version" }
  | { readonly _tag: "Health" }

/** The attributes of a request that authorization looks at, and its parameters. */
export interface KubeRoute {
  readonly target: KubeTarget
  readonly verb: RequestVerb
  /** The resource as RBAC names it, such as `deployments/scale`; empty for paths that are no resource. */
  readonly resource: string
  readonly group: string
  readonly namespace: string | undefined
  readonly query: URLSearchParams
}

const targetOf = (path: ReadonlyArray<string>): KubeTarget | undefined => {
  const [root = "", first = "", second = "", third = "", fourth = "", fifth = "", sixth = ""] = path
  switch (path.length) {
    case 1:
      if (root === "version") return { _tag: "Version" }
      return root === "readyz" || root === "livez" || root === "healthz" ? { _tag: "Health" } : undefined
    case 3:
      return root === "api" && first === "v1" && second === "namespaces"
        ? { _tag: "Collection", resource: "namespaces", namespace: undefined }
        : undefined
    case 4:
      if (root === "api" && first === "v1" && second === "namespaces") return { _tag: "Namespace", name: third }
      if (root !== "apis") return undefined
      if (first === "apps" && second === "v1" && third === "deployments") {
        return { _tag: "Collection", resource: "deployments", namespace: undefined }
      }
      return first === "authorization.k8s.io" && second === "v1" && third === "subjectaccessreviews"
        ? { _tag: "AccessReview" }
        : undefined
    case 5:
      return root === "api" && first === "v1" && second === "namespaces" && fourth === "events"
        ? { _tag: "Events", group: "", namespace: third }
        : undefined
    default:
      break
  }
  if (root !== "apis" || second !== "v1" || third !== "namespaces") return undefined
  if (first === "events.k8s.io") {
    return path.length === 6 && fifth === "events"
      ? { _tag: "Events", group: "events.k8s.io", namespace: fourth }
      : undefined
  }
  if (first !== "apps" || fifth !== "deployments") return undefined
  if (path.length === 6) return { _tag: "Collection", resource: "deployments", namespace: fourth }
  if (path.length === 7) return { _tag: "Deployment", namespace: fourth, name: sixth }
  return path.length === 8 && path[7] === "scale" ? { _tag: "Scale", namespace: fourth, name: sixth } : undefined
}

/** A boolean parameter; undefined if absent. As in Go's conversion, everything but `0` and `false` is true. */
export const flagIn = (query: URLSearchParams, name: string): boolean | undefined => {
  const text = query.get(name)?.toLowerCase()
  return text === undefined ? undefined : text !== "0" && text !== "false"
}

const verbOf = (method: string, target: KubeTarget, query: URLSearchParams): RequestVerb | undefined => {
  switch (target._tag) {
    case "Collection": {
      if (method === "POST") return "create"
      if (method !== "GET") return undefined
      return flagIn(query, "watch") === true ? "watch" : "list"
    }
    case "Scale":
      if (method === "PATCH") return "patch"
      if (method === "PUT") return "update"
      return method === "GET" ? "get" : undefined
    case "Events":
    case "AccessReview":
      return method === "POST" ? "create" : undefined
    case "Namespace":
    case "Deployment":
      if (method === "DELETE") return "delete"
      return method === "GET" ? "get" : undefined
    case "Version":
    case "Health":
      return method === "GET" ? "get" : undefined
  }
}

const rbacOf = (
  target: KubeTarget
): { readonly resource: string; readonly group: string; readonly namespace: string | undefined } => {
  switch (target._tag) {
    case "Collection":
      return {
        resource: target.resource,
        group: target.resource === "namespaces" ? "" : "apps",
        namespace: target.namespace
      }
    case "Namespace":
      // A namespace counts as being in itself, so that a Role in it can grant `get` on it.
      return { resource: "namespaces", group: "", namespace: target.name }
    case "Deployment":
      return { resource: "deployments", group: "apps", namespace: target.namespace }
    case "Scale":
      return { resource: "deployments/scale", group: "apps", namespace: target.namespace }
    case "Events":
      return { resource: "events", group: target.group, namespace: target.namespace }
    case "AccessReview":
      return { resource: "subjectaccessreviews", group: "authorization.k8s.io", namespace: undefined }
    case "Version":
    case "Health":
      return { resource: "", group: "", namespace: undefined }
  }
}

/** Parses a request; `unknown-path` and `unknown-method` if the server does not serve it. */
export const parseRoute = (method: string, requestTarget: string): KubeRoute | "unknown-path" | "unknown-method" => {
  const url = URL.parse(requestTarget, "http://embedded")
  if (url === null) return "unknown-path"
  const target = targetOf(url.pathname.split("/").slice(1))
  if (target === undefined) return "unknown-path"
  const verb = verbOf(method, target, url.searchParams)
  return verb === undefined ? "unknown-method" : { target, verb, ...rbacOf(target), query: url.searchParams }
}
