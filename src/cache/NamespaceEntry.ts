import type { NamespaceName } from "../contract/Names.ts"
import type { ResourceVersion } from "../model/ResourceVersion.ts"
import { type ListMemo, memoOf } from "./Body.ts"
import * as ContentTag from "./ContentTag.ts"
import { type DeploymentEntry, deploymentsRendering, type DeploymentsText } from "./DeploymentEntry.ts"
import { SortedBlocks } from "./SortedBlocks.ts"

/** The deployments of one namespace. */
export type Deployments = SortedBlocks<DeploymentEntry, DeploymentsText>

/** A namespace of the view, with its deployments. */
export interface NamespaceEntry {
  readonly name: NamespaceName
  /** The version of the Namespace object; `undefined` if only deployments of it are known, which are not shown. */
  readonly resourceVersion: ResourceVersion | undefined
  /**
   * 0 if a list or an event has confirmed the namespace. Otherwise it is known only from a write of this service, and
   * `resourceVersion` is that of the write. It is hidden after so many complete rounds of the poll that do not find it.
   */
  readonly graceRounds: 0 | 1 | 2
  readonly deployments: Deployments
  readonly names: ListMemo
  readonly counts: ListMemo
  /** The digest of the namespace's existence. */
  readonly digest: ContentTag.Digest
}

/** All namespaces of a view. */
export type Namespaces = SortedBlocks<NamespaceEntry, undefined>

/** A namespace that exists. */
export interface ShownNamespace extends NamespaceEntry {
  readonly resourceVersion: ResourceVersion
}

/** Whether the namespace exists. */
export const isShown = (entry: NamespaceEntry): entry is ShownNamespace => entry.resourceVersion !== undefined

/** No deployments. */
export const noDeployments: Deployments = SortedBlocks.from([], deploymentsRendering)

/** A namespace without memoized bodies. */
export const namespaceEntry = (
  name: NamespaceName,
  resourceVersion: ResourceVersion | undefined,
  deployments: Deployments
): NamespaceEntry => ({
  name,
  resourceVersion,
  graceRounds: 0,
  deployments,
  ...memosOf(deployments),
  digest: ContentTag.ofNamespace(name)
})

/** The same namespace with a new list of deployments. */
export const withDeployments = (entry: NamespaceEntry, deployments: Deployments): NamespaceEntry => ({
  ...entry,
  deployments,
  ...memosOf(deployments)
})

const memosOf = (deployments: Deployments): Pick<NamespaceEntry, "names" | "counts"> => {
  let names = ContentTag.nothing
  let counts = ContentTag.nothing
  for (const { countDigest, nameDigest } of deployments) {
    names = ContentTag.changed(names, nameDigest)
    counts = ContentTag.changed(counts, countDigest)
  }
  return { names: memoOf(names), counts: memoOf(counts) }
}

/** The namespaces that exist. */
export function* existing(namespaces: Namespaces): Generator<ShownNamespace> {
  for (const namespace of namespaces) if (isShown(namespace)) yield namespace
}

/** Appends the list of the namespace's deployments to `pieces`. */
export const pushNames = (pieces: Array<string>, { name, deployments }: NamespaceEntry): void => {
  pieces.push('{"namespace":"', name, '","deployments":[')
  deployments.blocks.forEach(({ text }, index) => pieces.push(index === 0 ? '"' : '","', text.names))
  pieces.push(deployments.size === 0 ? "]}" : '"]}')
}

/** Appends the list of the namespace's deployments with their replica counts to `pieces`. */
export const pushCounts = (pieces: Array<string>, { name, deployments }: NamespaceEntry): void => {
  pieces.push('{"namespace":"', name, '","deployments":[')
  deployments.blocks.forEach(({ text }, index) => pieces.push(index === 0 ? "{" : ",{", text.counts))
  pieces.push("]}")
}
