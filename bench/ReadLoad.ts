/** Load of cached reads on a server in another process, and what it costs that process. */
import { Effect } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { agent, send } from "../test/integration/Https.ts"

/** How many connections ask at once. */
export const connections = 32

const path = "/namespaces/personal/deployments/nginx/replica_count"

/** CPU time of a process so far, all its threads together, in microseconds, as exact as the kernel's scheduler has it. */
export const cpuMicros = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`).reduce(
    (sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1000,
    0
  )

/** `count` reads of one replica count over kept-alive mutual TLS connections. */
export const load = Effect.fnUntraced(function* (port: number, count: number) {
  const pool = yield* agent("viewer", connections)
  yield* Effect.forEach(Array.from({ length: count }), () => send(port, { client: "viewer", path, agent: pool }), {
    concurrency: connections,
    discard: true
  })
}, Effect.scoped)

/** The middle one. */
export const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
