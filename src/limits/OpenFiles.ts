import { Effect, FileSystem } from "effect"
import { settings } from "../settings/Settings.ts"

/** Open files beside the clients' connections, such as connections to the cluster. */
const reserved = 256

/** The soft limit on open files in Linux's table of limits; `undefined` without such a table or limit. */
const limit = Effect.gen(function* () {
  const fileSystem = yield* FileSystem.FileSystem
  const table = yield* fileSystem.readFileString("/proc/self/limits")
  const soft = /^Max open files +([0-9]+)/m.exec(table)?.[1]
  return soft === undefined ? undefined : Number(soft)
}).pipe(Effect.orElseSucceed(() => undefined))

/**
 * The number of connections that this process may open, at most `maximum`. Each is an open file. If the limit on open
 * files (`ulimit -n`) allows fewer, a warning is logged.
 */
export const connectionsThatFit = Effect.fnUntraced(function* (maximum: number) {
  const openFiles = yield* limit
  if (openFiles === undefined) return maximum
  const room = Math.max(openFiles - reserved, Math.floor(openFiles / 2), 1)
  if (room >= maximum) return maximum
  yield* Effect.logWarning(
    `${settings.maxConnections.name}=${maximum} exceeds the limit on open files: using ${room}. Raise the limit (ulimit -n) or lower the setting.`
  ).pipe(Effect.annotateLogs({ openFiles }))
  return room
})
