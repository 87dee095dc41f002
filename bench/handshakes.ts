/**
 * New connections, each with one GET of /livez: mutual TLS handshakes a second and CPU microseconds of the server for each,
 * full and resumed, against a bare node:https server.
 */
import { Effect } from "effect"
import { file } from "../test/support/Pki.ts"
import { installed, onServerCore, runOnLoadCore } from "./Command.ts"
import { type Server, startBare, startCluster, startService } from "./Programs.ts"
import { cpuMicros } from "./ProcessUsage.ts"
import { isQuick, print, result, table, title } from "./Report.ts"
import { figures, median, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

const clients = 2

/** Opens connections from `clients` clients for so many seconds. */
const connect = Effect.fnUntraced(function* ({ pid, port }: Server, kind: "new" | "reuse", seconds: number) {
  const words = ["s_time", "-connect", `127.0.0.1:${port}`, "-tls1_3", `-${kind}`, "-www", "/livez"]
  const party = ["-cert", file("viewer.crt"), "-key", file("viewer.key"), "-CAfile", file("ca.crt")]
  const before = cpuMicros(pid)
  const printed = yield* Effect.forEach(
    Array.from({ length: clients }),
    () => runOnLoadCore("openssl", [...words, ...party, "-time", String(seconds)]),
    { concurrency: clients }
  )
  const micros = cpuMicros(pid) - before
  // openssl prints * for each full handshake and r for each resumed one.
  const [full = 0, resumed = 0] = ["*", "r"].map((letter) =>
    printed.reduce(
      (sum, text) => sum + (text.split("\n").find((line) => /^[*r]+$/.test(line)) ?? "").split(letter).length - 1,
      0
    )
  )
  const count = full + resumed
  if (kind === "new" ? resumed > 0 : full > 2 * clients) {
    return yield* Effect.die(new Error(`${kind}: ${full} full handshakes, ${resumed} resumed`))
  }
  return { perSecond: count / seconds, micros: micros / count }
})

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  yield* title("handshakes")
  yield* installed("openssl", "openssl")
  const ours = yield* startService(yield* startCluster({ namespaces: 1, each: 1 }))
  const bare = yield* startBare({ "/livez": "{}" })
  for (const { pid } of [ours, bare]) yield* onServerCore(pid)
  const rows = []
  const compared = []
  for (const [kind, name] of [
    ["new", "full"],
    ["reuse", "resumed"]
  ] as const) {
    yield* Effect.forEach([ours, bare], (server) => connect(server, kind, 1))
    const turns = yield* takeTurns([ours, bare], quick ? 1 : 7, (server) => connect(server, kind, quick ? 1 : 3))
    const of = (field: "micros" | "perSecond") => turns.map(({ results }) => figures(results, field))
    const [micros = [], bareMicros = []] = of("micros")
    const [perSecond = [], barePerSecond = []] = of("perSecond")
    compared.push({ name, micros: ratios(micros, bareMicros) })
    rows.push([
      name,
      ...[micros, bareMicros].map((values) => spread(values, 0)),
      median(ratios(micros, bareMicros)).toFixed(2),
      ...[perSecond, barePerSecond].map((values) => spread(values, 0)),
      median(ratios(perSecond, barePerSecond)).toFixed(2)
    ])
  }
  yield* print(`Each with one GET of /livez; ${clients} clients at once, one core for them and one for the server\n`)
  yield* table(["handshake", "CPU µs", "bare: CPU µs", "ratio", "connections/s", "bare: connections/s", "ratio"], rows)
  for (const { micros, name } of compared) {
    yield* result(`CPU of a ${name} handshake, relative to bare`, micros)
  }
})

await Effect.runPromise(Effect.scoped(main))
