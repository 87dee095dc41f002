/**
 * CPU of a GET of one replica count with the frameworks that the service could use: a bare node:https server, the router of
 * Effect 4, its HttpApi with schemas, and the router of Effect 3.
 */
import { Effect } from "effect"
import { existsSync } from "node:fs"
import { demoSettings } from "../test/support/Process.ts"
import { onServerCore, run } from "./Command.ts"
import { makeLoad } from "./Load.ts"
import { residentMegabytes } from "./ProcessUsage.ts"
import { startBare, startServer } from "./Programs.ts"
import { isQuick, result, table, title } from "./Report.ts"
import { figures, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

const path = "/namespaces/personal/deployments/nginx/replica_count"
const body = '{"namespace":"personal","deployment":"nginx","replica_count":12}'

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  yield* title("frameworks")
  if (!existsSync("bench/frameworks/node_modules")) {
    yield* run("npm", ["ci", "--prefix", "bench/frameworks", "--loglevel=error"])
  }
  const load = yield* makeLoad
  const servers = [
    yield* startBare({ [path]: body }),
    yield* startServer("Effect 4, HttpRouter", { FRAMEWORK: "HttpRouter" }, "bench/FrameworkServer.ts"),
    yield* startServer("Effect 4, HttpApi with schemas", { FRAMEWORK: "HttpApi" }, "bench/FrameworkServer.ts"),
    yield* startServer("Effect 3, HttpRouter", demoSettings, "bench/frameworks/effect3.mjs"),
    yield* startServer(
      "kube-resource-api, whole",
      { ...demoSettings, RATE_LIMIT_READS: "1000000" },
      "src/main.ts",
      '"Ready"'
    )
  ]
  for (const { pid } of servers) yield* onServerCore(pid)
  const read = (server: (typeof servers)[number]) =>
    load(server, { path, connections: 32, count: quick ? 1000 : 15_000 })
  yield* Effect.forEach(servers, read)
  const turns = yield* takeTurns(servers, quick ? 1 : 7, read)
  const [bare = []] = turns.map(({ results }) => figures(results, "micros"))
  yield* table(
    ["server", "CPU µs", "relative to bare", "GETs/s", "RSS, MiB"],
    turns.map(({ contender, results }) => [
      contender.name,
      spread(figures(results, "micros")),
      spread(ratios(figures(results, "micros"), bare), 2),
      spread(figures(results, "perSecond"), 0),
      residentMegabytes(contender.pid).toFixed(0)
    ])
  )
  const [, four = [], , three = []] = turns.map(({ results }) => figures(results, "micros"))
  yield* result("CPU of Effect 3's router, relative to Effect 4's", ratios(three, four))
})

await Effect.runPromise(Effect.scoped(main))
