/**
 * Startup with the demo cluster, from the bundle and from source: milliseconds until /livez and /readyz first return 200, and
 * the CPU time until then.
 */
import { Effect, Schedule } from "effect"
import { send } from "../test/support/Https.ts"
import { freePort } from "../test/support/Ports.ts"
import { bundled, demoSettings, start } from "../test/support/Process.ts"
import { cpuMicros } from "./ProcessUsage.ts"
import { isQuick, print, result, table, title } from "./Report.ts"
import { figures, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

interface Contender {
  readonly name: string
  readonly program: string
}

/** The time of the first 200 for `path`. Polls more often than `eventually`, because the interval limits the resolution. */
const answered = (port: number, path: string) =>
  send(port, { client: "none", path }).pipe(
    Effect.filterOrFail(({ status }) => status === 200),
    Effect.retry(Schedule.spaced("2 millis")),
    Effect.map(() => performance.now())
  )

const once = Effect.fnUntraced(function* ({ program }: Contender) {
  const port = yield* freePort
  const began = performance.now()
  const { child } = yield* start({ ...demoSettings, PORT: String(port) }, program)
  const live = (yield* answered(port, "/livez")) - began
  const ready = (yield* answered(port, "/readyz")) - began
  return { live, ready, cpu: cpuMicros(child.pid ?? 0) / 1000 }
}, Effect.scoped)

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  yield* title("start")
  const contenders: ReadonlyArray<Contender> = [
    { name: "bundle", program: `${yield* bundled}/main.js` },
    { name: "source", program: "src/main.ts" }
  ]
  // Warms the cache of the file system.
  yield* Effect.forEach(contenders, once)
  const turns = yield* takeTurns(contenders, quick ? 2 : 15, once)
  yield* print(`${turns[0]?.results.length} starts of each, ms\n`)
  yield* table(
    ["from", "/livez", "/readyz", "CPU"],
    turns.map(({ contender, results }) => [
      contender.name,
      spread(figures(results, "live"), 0),
      spread(figures(results, "ready"), 0),
      spread(figures(results, "cpu"), 0)
    ])
  )
  const [fromBundle = [], fromSource = []] = turns.map(({ results }) => figures(results, "live"))
  yield* result("/livez from the bundle, ms", fromBundle, { atMost: 400 }, 0)
  yield* result("/livez from the bundle, relative to source", ratios(fromBundle, fromSource))
})

await Effect.runPromise(main)
