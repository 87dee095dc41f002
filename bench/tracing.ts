/**
 * The cost of a cached read with tracing: CPU microseconds of the server's process for each GET without a collector, with 1 %
 * of the requests traced, and with all of them.
 */
import { Effect } from "effect"
import { createServer } from "node:http"
import { onServerCore } from "./Command.ts"
import { makeLoad } from "./Load.ts"
import { serviceSettings, startCluster, startServer } from "./Programs.ts"
import { isQuick, table, title } from "./Report.ts"
import { figures, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

const path = "/namespaces/load-00007/deployments/deployment-00007/replica_count"

/** A collector that accepts every export. Gives its port. */
const collector = Effect.acquireRelease(
  Effect.callback<{ readonly port: number; readonly close: () => void }>((resume) => {
    const server = createServer((request, response) => {
      request.resume()
      response.end()
    }).listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      resume(Effect.succeed({ port, close: () => server.close() }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  yield* title("tracing")
  const load = yield* makeLoad
  const settings = serviceSettings(yield* startCluster({ namespaces: 500, each: 40 }))
  const traced = { ...settings, OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(yield* collector).port}` }
  const servers = [
    yield* startServer("no collector", settings, "src/main.ts", '"Ready"'),
    yield* startServer("1 % traced", { ...traced, OTEL_TRACES_SAMPLER_ARG: "0.01" }, "src/main.ts", '"Ready"'),
    yield* startServer("all traced", traced, "src/main.ts", '"Ready"')
  ]
  for (const { pid } of servers) yield* onServerCore(pid)
  const read = (server: (typeof servers)[number]) =>
    load(server, { path, connections: 32, count: quick ? 2000 : 15_000 })
  yield* Effect.forEach(servers, read)
  const turns = yield* takeTurns(servers, quick ? 1 : 5, read)
  const plain = figures(turns[0]?.results ?? [], "micros")
  yield* table(
    ["tracing", "CPU µs", "relative to none"],
    turns.map(({ contender, results }) => {
      const micros = figures(results, "micros")
      return [contender.name, spread(micros), spread(ratios(micros, plain), 2)]
    })
  )
})

await Effect.runPromise(Effect.scoped(main))
