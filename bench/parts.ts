/**
 * CPU of parts of a cached read: policy and rate limits; metrics, request log and request id. Every response has a request
 * id, so its time is measured alone and added.
 */
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { requestId } from "../src/http/RequestForm.ts"
import { demoSettings } from "../test/support/Process.ts"
import { onServerCore } from "./Command.ts"
import { makeLoad } from "./Load.ts"
import { startServer } from "./Programs.ts"
import { isQuick, print, result, table, title } from "./Report.ts"
import { figures, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

const path = "/namespaces/personal/deployments/nginx/replica_count"

const variants = [
  { name: "neither", SECURED: "false", OBSERVED: "false" },
  { name: "policy and rate limits", SECURED: "true", OBSERVED: "false" },
  { name: "metrics and request log", SECURED: "false", OBSERVED: "true" }
]

/** CPU microseconds to create a request id and to set it as a header field. */
const idMicros = (): number => {
  const response = HttpServerResponse.text("{}", { contentType: "application/json", headers: { age: "0" } })
  const once = () => HttpServerResponse.setHeaders(response, { "x-request-id": requestId(undefined) })
  for (let i = 0; i < 200_000; i++) once()
  const from = process.cpuUsage()
  for (let i = 0; i < 1_000_000; i++) once()
  const { system, user } = process.cpuUsage(from)
  return (user + system) / 1_000_000
}

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  yield* title("parts")
  const id = idMicros()
  const load = yield* makeLoad
  const servers = yield* Effect.forEach(variants, ({ name, ...parts }) =>
    startServer(name, { ...demoSettings, RATE_LIMIT_READS: "1000000", ...parts }, "bench/VariantServer.ts")
  )
  for (const { pid } of servers) yield* onServerCore(pid)
  const read = (server: (typeof servers)[number]) =>
    load(server, { path, connections: 32, count: quick ? 2000 : 20_000 })
  yield* Effect.forEach(servers, read)
  const turns = yield* takeTurns(servers, quick ? 1 : 11, read)
  const [neither = [], secured = [], observed = []] = turns.map(({ results }) => figures(results, "micros"))
  yield* table(
    ["with", "CPU µs"],
    turns.map(({ contender, results }) => [contender.name, spread(figures(results, "micros"))])
  )
  yield* print(`A request id takes ${id.toFixed(2)} µs.`)
  yield* result("CPU with policy and rate limits, relative to without", ratios(secured, neither), { atMost: 1.15 })
  yield* result(
    "CPU with metrics, log and request id, relative to without",
    ratios(
      observed.map((micros) => micros + id),
      neither
    ),
    { atMost: 1.25 }
  )
})

await Effect.runPromise(Effect.scoped(main))
