import { Option, Schema } from "effect"
import { Resources } from "../contract/Api.ts"
import { DeploymentName, NamespaceName } from "../contract/Names.ts"
import * as PathTemplate from "../contract/PathTemplate.ts"
import * as CachedRead from "./CachedRead.ts"

/** A plainly spelled request target of a cached read: the read, its path template and its path parameters. */
export interface ReadTarget {
  readonly read: CachedRead.CachedRead
  readonly route: string
  readonly params: Readonly<Record<string, string>>
}

interface Matcher {
  readonly route: string
  readonly match: (target: string) => ReadTarget | undefined
}

const fixed = ({ path: route }: { readonly path: string }, read: CachedRead.CachedRead): Matcher => {
  const found: ReadTarget = { read, route, params: {} }
  return { route, match: (target) => (target === route ? found : undefined) }
}

const parameterized = <P>(
  { path: route }: { readonly path: string },
  schema: Schema.Decoder<P>,
  read: (params: P) => CachedRead.CachedRead
): Matcher => {
  const paramsOf = PathTemplate.matching(route)
  const decode = Schema.decodeUnknownOption(schema)
  return {
    route,
    match: (target) => {
      const params = paramsOf(target)
      const decoded = params === undefined ? Option.none() : decode(params)
      return params === undefined || Option.isNone(decoded) ? undefined : { read: read(decoded.value), route, params }
    }
  }
}

const { endpoints } = Resources
type Endpoints = typeof endpoints
type Read = { [K in keyof Endpoints]: Endpoints[K]["method"] extends "GET" ? K : never }[keyof Endpoints]

const namespace = { namespace: NamespaceName }
const deployment = { deployment: DeploymentName }

const reads: Readonly<Record<Read, Matcher>> = {
  listNamespaces: fixed(endpoints.listNamespaces, CachedRead.listNamespaces),
  listDeployments: parameterized(endpoints.listDeployments, Schema.Struct(namespace), CachedRead.listDeployments),
  listAllDeployments: fixed(endpoints.listAllDeployments, CachedRead.listAllDeployments),
  getReplicaCount: parameterized(
    endpoints.getReplicaCount,
    Schema.Struct({ ...namespace, ...deployment }),
    CachedRead.getReplicaCount
  ),
  listReplicaCounts: parameterized(endpoints.listReplicaCounts, Schema.Struct(namespace), CachedRead.listReplicaCounts),
  listAllReplicaCounts: fixed(endpoints.listAllReplicaCounts, CachedRead.listAllReplicaCounts),
  findReplicaCounts: parameterized(endpoints.findReplicaCounts, Schema.Struct(deployment), CachedRead.findReplicaCounts)
}

// As the router does, literal segments come before parameters.
const matchers = Object.values(reads).toSorted((a, b) => a.route.split(":").length - b.route.split(":").length)

/**
 * The read of a target. `undefined` if the target is no read or is not plainly spelled (it has a query or an escape):
 * the routes take those.
 */
export const parse = (target: string): ReadTarget | undefined => {
  for (const { match } of matchers) {
    const found = match(target)
    if (found !== undefined) return found
  }
  return undefined
}

/** The number of targets to remember at least. The same reads recur. */
const remembered = 8192

/** `parse`, memoized for recent targets. */
export const remembering = (): ((target: string) => ReadTarget | undefined) => {
  let recent = new Map<string, ReadTarget>()
  let older = new Map<string, ReadTarget>()
  return (target) => {
    const known = recent.get(target)
    if (known !== undefined) return known
    const found = older.get(target) ?? parse(target)
    if (found === undefined) return undefined
    if (recent.size >= remembered) {
      older = recent
      recent = new Map()
    }
    recent.set(target, found)
    return found
  }
}
