import { Context, Effect } from "effect"

/**
 * Why the snapshot of a scope was loaded.
 *
 * - `start`: the instance started.
 * - `listed`: the leader wrote a new list.
 * - `gap`: the log no longer holds the next entry.
 * - `behind`: the log ends before the last entry that was read, because Redis lost data.
 * - `undecodable`: an entry cannot be decoded.
 */
export type LoadReason = "start" | "listed" | "gap" | "behind" | "undecodable"

/** Observes the shared cache, for metrics. The default does nothing. An observer must be quick. */
export interface SharedCacheObserver {
  /** Whether this instance is the leader. */
  readonly leading: (leads: boolean) => Effect.Effect<void>
  /** Whether this instance is the leader and its write waits because Redis is out of memory. */
  readonly outOfMemory: (isOut: boolean) => Effect.Effect<void>
  /** Whether this instance reads the shared log. */
  readonly connected: (connected: boolean) => Effect.Effect<void>
  /** Whether Redis holds the state of another cluster or of other namespaces. */
  readonly foreign: (foreign: boolean) => Effect.Effect<void>
  /** A snapshot was loaded and is shown. */
  readonly loaded: (reason: LoadReason) => Effect.Effect<void>
  /** A snapshot could not be loaded. */
  readonly loadFailed: Effect.Effect<void>
  /** Entries of the log were read. `lagMillis`: the age of the last one. */
  readonly read: (entries: number, lagMillis: number) => Effect.Effect<void>
}

export const unobserved: SharedCacheObserver = {
  leading: () => Effect.void,
  outOfMemory: () => Effect.void,
  connected: () => Effect.void,
  foreign: () => Effect.void,
  loaded: () => Effect.void,
  loadFailed: Effect.void,
  read: () => Effect.void
}

export const SharedCacheObserver: Context.Reference<SharedCacheObserver> = Context.Reference<SharedCacheObserver>(
  "kube-resource-api/shared/SharedCacheObserver",
  { defaultValue: () => unobserved }
)
