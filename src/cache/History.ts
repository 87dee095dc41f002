/**
 * What is remembered of the past of one watched resource, so that old news of an object that is gone is told from news.
 *
 * The last list speaks for all up to its version. After it, each deletion leaves a tombstone until the next list; when
 * they become many, the oldest half is given up and their latest version speaks for them all.
 */
import { isOlder, type ResourceVersion } from "../model/ResourceVersion.ts"
import { SortedBlocks, untexted } from "./SortedBlocks.ts"

const generation = 1024

interface Tombstone {
  readonly name: string
  readonly resourceVersion: ResourceVersion
}

type Tombstones = SortedBlocks<Tombstone, undefined>

/** The past of one resource. */
export interface History {
  /** The newest version that a list or a watch event has told. */
  readonly highest: ResourceVersion | undefined
  /** An object that is absent was absent at this version too. */
  readonly floor: ResourceVersion | undefined
  readonly recent: Tombstones
  readonly older: Tombstones
}

const noTombstones: Tombstones = SortedBlocks.from<Tombstone, undefined>([], untexted)

/** Before anything was told. */
export const empty: History = { highest: undefined, floor: undefined, recent: noTombstones, older: noTombstones }

/** The past as a list of this version tells it. */
export const listed = (resourceVersion: ResourceVersion): History => ({
  ...empty,
  highest: resourceVersion,
  floor: resourceVersion
})

/** Takes note that a watch event told this version. */
export const told = (history: History, resourceVersion: ResourceVersion): History => {
  const highest = later(history.highest, resourceVersion)
  return highest === history.highest ? history : { ...history, highest }
}

/** Takes note that the object of this name was gone at this version. */
export const buried = (history: History, name: string, resourceVersion: ResourceVersion): History => {
  const { highest, floor, recent, older } = told(history, resourceVersion)
  const tombstone = { name, resourceVersion: later(deletionOf(history, name), resourceVersion) }
  if (recent.size < generation) return { highest, floor, recent: recent.set(tombstone), older }
  let raised = floor
  for (const { resourceVersion } of older) raised = later(raised, resourceVersion)
  return { highest, floor: raised, recent: noTombstones.set(tombstone), older: recent }
}

/** Whether this version of an object that is absent is from before it went. */
export const isPast = (history: History, name: string, resourceVersion: ResourceVersion): boolean => {
  const deletion = deletionOf(history, name)
  return (
    (history.floor !== undefined && isOlder(resourceVersion, history.floor)) ||
    (deletion !== undefined && (resourceVersion === deletion || isOlder(resourceVersion, deletion)))
  )
}

/** Whether a list of this version shows that the cluster itself went back, as one restored from a backup does. */
export const wentBack = (history: History, resourceVersion: ResourceVersion): boolean =>
  history.highest !== undefined && isOlder(resourceVersion, history.highest)

const deletionOf = (history: History, name: string): ResourceVersion | undefined =>
  (history.recent.get(name) ?? history.older.get(name))?.resourceVersion

const later = (held: ResourceVersion | undefined, next: ResourceVersion): ResourceVersion =>
  held !== undefined && isOlder(next, held) ? held : next
