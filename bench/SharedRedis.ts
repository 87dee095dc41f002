/** A Redis that measures itself. */
import { Effect, Redacted } from "effect"
import { keysOf } from "../src/shared/redis/Keys.ts"
import { started } from "../test/support/RedisServer.ts"

const keys = keysOf("kube-resource-api")

const numberIn = (reply: unknown, field: string): number =>
  Number(new RegExp(`^${field}:([0-9]+)`, "m").exec(String(reply))?.[1])

const rows = (reply: unknown): ReadonlyArray<ReadonlyArray<unknown>> => (Array.isArray(reply) ? reply : [])

/** Starts an empty Redis. It records each command of more than 0.1 ms, and each other stall of more than 1 ms. */
export const startRedis = Effect.gen(function* () {
  const { command, url } = yield* started(
    "--slowlog-log-slower-than",
    "100",
    "--slowlog-max-len",
    "10000",
    "--latency-monitor-threshold",
    "1"
  )
  const infoBytes = (field: string) => Effect.map(command("INFO", "memory"), (info) => numberIn(info, field))
  const bytesOf = (key: string) => Effect.map(command("MEMORY", "USAGE", key, "SAMPLES", "0"), Number)
  const list = Effect.map(command("HGET", keys.scopes, "deployments"), String)
  return {
    url: Redacted.value(url),
    /** The bytes that Redis uses now, and the most that it has used. */
    usedBytes: infoBytes("used_memory"),
    peakBytes: infoBytes("used_memory_peak"),
    /** The bytes of the log, and its entries. */
    logBytes: bytesOf(keys.events),
    logEntries: Effect.map(command("XLEN", keys.events), Number),
    /** The key of the list of deployments. Each list has another. */
    list,
    /** Its bytes. */
    listBytes: Effect.flatMap(list, bytesOf),
    /** Forgets the stalls so far. */
    forgetStalls: Effect.andThen(command("SLOWLOG", "RESET"), command("LATENCY", "RESET")),
    /** The longest stall since then, in milliseconds: of a command, or of the background work of the event loop. */
    longestStall: Effect.gen(function* () {
      const commands = rows(yield* command("SLOWLOG", "GET", "-1")).map((row) => Number(row[2]) / 1000)
      const events = rows(yield* command("LATENCY", "LATEST")).map((row) => Number(row[3]))
      return Math.max(0, ...commands, ...events)
    })
  }
})

export type Redis = Effect.Success<typeof startRedis>
