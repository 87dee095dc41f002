/**
 * The deployments of all namespaces, by name. A name that is unique costs one reference. A name in several namespaces
 * costs the list of its deployments, and the rendered body once it has been read.
 */
import type { DeploymentRef } from "../model/ReadModel.ts"
import { type Body, fromPieces, type ListMemo, memoAfter, memoOf } from "./Body.ts"
import * as ContentTag from "./ContentTag.ts"
import type { DeploymentEntry } from "./DeploymentEntry.ts"
import { lowerBound, SortedBlocks, untexted } from "./SortedBlocks.ts"

/** The deployments of one name in two namespaces or more, sorted by namespace. */
interface Namesakes {
  readonly name: string
  readonly entries: ReadonlyArray<DeploymentEntry>
  readonly memo: ListMemo
}

/** The index of deployments by name. */
export type DeploymentsByName = SortedBlocks<DeploymentEntry | Namesakes, undefined>

/** The index of `entries`, which are sorted by namespace. */
export const from = (entries: Iterable<DeploymentEntry>): DeploymentsByName => {
  const groups = new Map<string, DeploymentEntry | Array<DeploymentEntry>>()
  for (const entry of entries) {
    const group = groups.get(entry.name)
    if (group === undefined) groups.set(entry.name, entry)
    else if (Array.isArray(group)) group.push(entry)
    else groups.set(entry.name, [group, entry])
  }
  const sorted: Array<DeploymentEntry | Namesakes> = []
  for (const name of [...groups.keys()].sort()) {
    const group = groups.get(name)
    if (group !== undefined) sorted.push(Array.isArray(group) ? namesakes(name, group.slice()) : group)
  }
  return SortedBlocks.from(sorted, untexted)
}

/** The index with `entry`, which replaces the entry of the same namespace and name. */
export const set = (index: DeploymentsByName, entry: DeploymentEntry): DeploymentsByName => {
  const held = index.get(entry.name)
  if (held === undefined) return index.set(entry)
  if (!("entries" in held)) {
    if (held.namespace === entry.namespace) return index.set(entry)
    return index.set(namesakes(entry.name, held.namespace < entry.namespace ? [held, entry] : [entry, held]))
  }
  const at = lowerBound(held.entries, ({ namespace }) => namespace, entry.namespace)
  const there = held.entries[at]
  if (there?.namespace === entry.namespace) {
    const memo = there.body === entry.body ? held.memo : memoAfter(held.memo, entry.countDigest, there.countDigest)
    return index.set({ name: held.name, entries: held.entries.with(at, entry), memo })
  }
  return index.set({
    name: held.name,
    entries: held.entries.toSpliced(at, 0, entry),
    memo: memoAfter(held.memo, entry.countDigest)
  })
}

/** The index without this deployment. */
export const remove = (index: DeploymentsByName, { namespace, name }: DeploymentRef): DeploymentsByName => {
  const held = index.get(name)
  if (held === undefined) return index
  if (!("entries" in held)) return held.namespace === namespace ? index.remove(name) : index
  const removed = held.entries.find((entry) => entry.namespace === namespace)
  if (removed === undefined) return index
  const left = held.entries.filter((entry) => entry !== removed)
  const [only] = left
  return index.set(
    left.length === 1 && only !== undefined
      ? only
      : { name: held.name, entries: left, memo: memoAfter(held.memo, ContentTag.nothing, removed.countDigest) }
  )
}

/** The body with the replica counts of all deployments of this name; `undefined` if there is none. */
export const body = (index: DeploymentsByName, name: string): Body | undefined => {
  const held = index.get(name)
  if (held === undefined) return undefined
  if (!("entries" in held)) return `[${held.body}]`
  return (held.memo.body ??= fromPieces(
    held.entries.flatMap((entry, index) => [index === 0 ? "[" : ",", entry.body]).concat("]")
  ))
}

/** The tag of that body; `undefined` if no deployment has this name. */
export const etag = (index: DeploymentsByName, name: string): string | undefined => {
  const held = index.get(name)
  return held === undefined ? undefined : "entries" in held ? held.memo.etag : ContentTag.ofList(held.countDigest)
}

const namesakes = (name: string, entries: ReadonlyArray<DeploymentEntry>): Namesakes => ({
  name,
  entries,
  memo: memoOf(entries.reduce((sum, { countDigest }) => ContentTag.changed(sum, countDigest), ContentTag.nothing))
})
