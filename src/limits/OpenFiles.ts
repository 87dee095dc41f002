import { Effect, FileSystem } from "effect"

/** What a process holds open beside its clients' connections: files, its own connections to the cluster. */
const reserved = 256

/** The number in Linux's table of a process's limits; `undefined` where there is no such table, or no limit. */
const limit = Effect.gen(function* () {
  const fileSystem = yield* FileSystem.FileSystem
  const table = yield* fileSystem.readFileString("/proc/self/limits")
  const soft = /^Max open files +([0-9]+)/m.exec(table)?.[1]
  return soft === undefined ? undefined : Number(soft)
}).pipe(Effect.orElseSucceed(() => undefined))

/**
 * The number of connections that this process may have open, at most `maximum`: each is an open file, and so is what the
 * service needs besides. Where the limit on open files (`ulimit -n`) leaves room for fewer, it says so in the log.
 */
export const connectionsThatFit = Effect.fnUntraced(function* (maximum: number) {
  const openFiles = yield* limit
  if (openFiles === undefined) return maximum
  const room = Math.max(openFiles - reserved, Math.floor(openFiles / 2), 1)
  if (room >= maximum) return maximum
  yield* Effect.logWarning(
    `MAX_CONNECTIONS=${maximum} does not fit the limit on open files: ${room} is used. Raise the limit (ulimit -n) or lower the setting.`
  ).pipe(Effect.annotateLogs({ openFiles }))
  return room
})
