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

type Matcher = (target: string) => ReadTarget | undefined

const fixed = ({ path: route }: { readonly path: string }, read: CachedRead.CachedRead): Matcher => {
  const found: ReadTarget = { read, route, params: {} }
  return (target) => (target === route ? found : undefined)
}

const parameterized = <P>(
  { path: route }: { readonly path: string },
  schema: Schema.Decoder<P>,
  read: (params: P) => CachedRead.CachedRead
): Matcher => {
  const match = PathTemplate.matching(route)
  const decode = Schema.decodeUnknownOption(schema)
  return (target) => {
    const params = match(target)
    const decoded = params === undefined ? Option.none() : decode(params)
    return params === undefined || Option.isNone(decoded) ? undefined : { read: read(decoded.value), route, params }
  }
}

const { endpoints } = Resources

const namespace = { namespace: NamespaceName }
const deployment = { deployment: DeploymentName }

// As the router does, literal segments come before parameters.
const matchers: ReadonlyArray<Matcher> = [
  fixed(endpoints.listNamespaces, CachedRead.listNamespaces),
  fixed(endpoints.listAllDeployments, CachedRead.listAllDeployments),
  fixed(endpoints.listAllReplicaCounts, CachedRead.listAllReplicaCounts),
  parameterized(endpoints.findReplicaCounts, Schema.Struct(deployment), CachedRead.findReplicaCounts),
  parameterized(endpoints.listReplicaCounts, Schema.Struct(namespace), CachedRead.listReplicaCounts),
  parameterized(endpoints.listDeployments, Schema.Struct(namespace), CachedRead.listDeployments),
  parameterized(endpoints.getReplicaCount, Schema.Struct({ ...namespace, ...deployment }), CachedRead.getReplicaCount)
]

/**
 * The read that a target asks for. `undefined` where it is no read, or is not spelled plainly (a query, an escape): the
 * routes decide about those.
 */
export const parse = (target: string): ReadTarget | undefined => {
  for (const match of matchers) {
    const found = match(target)
    if (found !== undefined) return found
  }
  return undefined
}

/** Reads repeat: this many targets at least are remembered. */
const remembered = 8192

/** `parse` with a memory of the targets seen last. */
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
