import { Context, Effect } from "effect"

/**
 * Why the snapshot of a scope was read.
 *
 * - `start`: nothing was known of it.
 * - `listed`: the leader has listed it.
 * - `gap`: the log has gone on further than it goes back.
 * - `behind`: the log ends before what was read of it: Redis has lost something.
 * - `undecodable`: an entry or a hash could not be read.
 */
export type LoadReason = "start" | "listed" | "gap" | "behind" | "undecodable"

/** Is told what becomes of the shared cache, for metrics. The default does nothing; what it does must be quick. */
export interface SharedCacheObserver {
  /** Whether this instance is the one that watches the cluster. */
  readonly leading: (leads: boolean) => Effect.Effect<void>
  /** Whether this instance is connected to Redis and reads the log. */
  readonly connected: (connected: boolean) => Effect.Effect<void>
  /** The snapshot of a scope was read and is shown. */
  readonly loaded: (reason: LoadReason) => Effect.Effect<void>
  /** A scope's snapshot was to be read, and could not be. */
  readonly loadFailed: Effect.Effect<void>
  /** Entries of the log were read, the last of them this long after it was written. */
  readonly read: (entries: number, lagMillis: number) => Effect.Effect<void>
}

/** An observer that does nothing. */
export const unobserved: SharedCacheObserver = {
  leading: () => Effect.void,
  connected: () => Effect.void,
  loaded: () => Effect.void,
  loadFailed: Effect.void,
  read: () => Effect.void
}

/** The observer of the shared cache that runs with it. */
export const SharedCacheObserver: Context.Reference<SharedCacheObserver> = Context.Reference<SharedCacheObserver>(
  "kube-resource-api/shared/SharedCacheObserver",
  { defaultValue: () => unobserved }
)
