/** Load of ApacheBench over mutual TLS: the throughput of a server and its CPU time for each request. */
import { Effect } from "effect"
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { file } from "../test/support/Pki.ts"
import { installed, run, runOnLoadCore } from "./Command.ts"
import type { Pace } from "./Pace.ts"
import type { Server } from "./Programs.ts"
import { cpuMicros } from "./ProcessUsage.ts"

/** `count` GETs of `path` over that many keep-alive connections. */
export interface Load {
  readonly path: string
  readonly connections: number
  readonly count: number
}

/** The results of a load. */
export interface Loaded {
  /** CPU microseconds of the server's process for each request. */
  readonly micros: number
  /** Responses a second. */
  readonly perSecond: number
}

/** The load generator; installs ApacheBench if it is missing. */
export const makeLoad = Effect.gen(function* () {
  yield* installed("ab", "apache2-utils")
  const pem = join(mkdtempSync(join(tmpdir(), "bench-")), "viewer.pem")
  writeFileSync(pem, readFileSync(file("viewer.crt"), "utf8") + readFileSync(file("viewer.key"), "utf8"), {
    mode: 0o600
  })
  const ask = Effect.fnUntraced(function* ({ pid, port }: Server, { connections, count, path }: Load) {
    const before = cpuMicros(pid)
    const words = ["-q", "-k", "-n", String(count), "-c", String(connections), "-E", pem]
    const printed = yield* runOnLoadCore("ab", [...words, `https://127.0.0.1:${port}${path}`])
    const micros = cpuMicros(pid) - before
    const number = (field: RegExp) => Number(field.exec(printed)?.[1] ?? 0)
    const answered = number(/Complete requests:\s+([0-9]+)/) - number(/Non-2xx responses:\s+([0-9]+)/)
    if (answered !== count || number(/Keep-Alive requests:\s+([0-9]+)/) !== count) {
      return yield* Effect.die(new Error(`not all requests were answered with 200, kept alive:\n${printed}`))
    }
    return { micros, seconds: number(/Time taken for tests:\s+([0-9.]+)/) }
  })
  return Effect.fnUntraced(function* (server: Server, load: Load) {
    // Measure the handshakes and the first request of each connection alone, and subtract them.
    const opening = yield* ask(server, { ...load, count: load.connections })
    const whole = yield* ask(server, { ...load, count: load.connections + load.count })
    return {
      micros: (whole.micros - opening.micros) / load.count,
      perSecond: load.count / (whole.seconds - opening.seconds)
    } satisfies Loaded
  })
})

/** The latencies of paced reads in milliseconds from the time at which each was due. */
export interface Latencies {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** Reads at a fixed rate. */
export interface PacedLoad extends Omit<Pace, "spin"> {
  readonly path: string
  readonly connections: number
  /** Whether the generator has the second core to itself. */
  readonly alone: boolean
}

/** Sends GETs at a fixed rate from another process, whether or not earlier ones have completed. */
export const pacedReads = ({ port }: Server, { alone, connections, path, perSecond, seconds }: PacedLoad) => {
  const environment = [
    `SERVER_PORT=${port}`,
    `PER_SECOND=${perSecond}`,
    `SECONDS=${seconds}`,
    `SPIN=${alone}`,
    `PATH_=${path}`,
    `CONNECTIONS=${connections}`
  ]
  const words = [...environment, process.execPath, "bench/PacedReads.ts"]
  return Effect.map(alone ? runOnLoadCore("env", words) : run("env", words), (printed): Latencies =>
    JSON.parse(printed)
  )
}
