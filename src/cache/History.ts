/**
 * The history of one watched resource. It tells late events about deleted objects from new objects.
 *
 * An object that the last list did not contain was absent at that list's version. Each later deletion leaves a tombstone
 * until the next list. Of many tombstones the older half is dropped, and their latest version stands for all of them.
 */
import { isOlder, type ResourceVersion } from "../model/ResourceVersion.ts"
import { SortedBlocks, untexted } from "./SortedBlocks.ts"

const generation = 1024

interface Tombstone {
  readonly name: string
  readonly resourceVersion: ResourceVersion
}

type Tombstones = SortedBlocks<Tombstone, undefined>

/** The history of one resource. */
export interface History {
  /** The newest version of any list or watch event. */
  readonly highest: ResourceVersion | undefined
  /** The newest version of any object, deletion or accepted write. Unlike the version of a list, every watch reaches it. */
  readonly newest: ResourceVersion | undefined
  /** The version at which every absent object was absent. */
  readonly floor: ResourceVersion | undefined
  readonly recent: Tombstones
  readonly older: Tombstones
}

const noTombstones: Tombstones = SortedBlocks.from<Tombstone, undefined>([], untexted)

/** The history before any event. */
export const empty: History = {
  highest: undefined,
  newest: undefined,
  floor: undefined,
  recent: noTombstones,
  older: noTombstones
}

/** The history after a list of this version, with these objects. */
export const listed = (
  history: History,
  resourceVersion: ResourceVersion,
  items: ReadonlyArray<{ readonly resourceVersion: ResourceVersion }>
): History => {
  let newest = wentBack(history, resourceVersion) ? undefined : history.newest
  for (const item of items) newest = later(newest, item.resourceVersion)
  return { ...empty, highest: resourceVersion, newest, floor: resourceVersion }
}

/** The history after an accepted write of this version, which the watch has not confirmed. */
export const ahead = (history: History, resourceVersion: ResourceVersion): History => {
  const newest = later(history.newest, resourceVersion)
  return newest === history.newest ? history : { ...history, newest }
}

/** The history after a watch event of this version. */
export const told = (history: History, resourceVersion: ResourceVersion): History => {
  const highest = later(history.highest, resourceVersion)
  return highest === history.highest ? history : { ...history, highest, newest: later(history.newest, resourceVersion) }
}

/** The history after the deletion of this object at this version. */
export const buried = (history: History, name: string, resourceVersion: ResourceVersion): History => {
  const { highest, newest, floor, recent, older } = told(history, resourceVersion)
  const tombstone = { name, resourceVersion: later(deletionOf(history, name), resourceVersion) }
  if (recent.size < generation) return { highest, newest, floor, recent: recent.set(tombstone), older }
  let raised = floor
  for (const { resourceVersion } of older) raised = later(raised, resourceVersion)
  return { highest, newest, floor: raised, recent: noTombstones.set(tombstone), older: recent }
}

/** Whether this version of an absent object precedes its deletion. */
export const isPast = (history: History, name: string, resourceVersion: ResourceVersion): boolean => {
  const deletion = deletionOf(history, name)
  return (
    (history.floor !== undefined && isOlder(resourceVersion, history.floor)) ||
    (deletion !== undefined && (resourceVersion === deletion || isOlder(resourceVersion, deletion)))
  )
}

/** Whether a list of this version shows that the cluster went back, as after a restore from a backup. */
export const wentBack = (history: History, resourceVersion: ResourceVersion): boolean =>
  history.highest !== undefined && isOlder(resourceVersion, history.highest)

const deletionOf = (history: History, name: string): ResourceVersion | undefined =>
  (history.recent.get(name) ?? history.older.get(name))?.resourceVersion

const later = (held: ResourceVersion | undefined, next: ResourceVersion): ResourceVersion =>
  held !== undefined && isOlder(next, held) ? held : next
