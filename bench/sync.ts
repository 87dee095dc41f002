/**
 * The sync with a cluster, by the whole service and by client-node's `makeInformer`: milliseconds from the start of the
 * process until the cluster is listed, the peak memory until then, and the memory afterwards.
 */
import { Effect } from "effect"
import { start } from "../test/support/Process.ts"
import { plot } from "./Plot.ts"
import { type Cluster, serviceSettings, startCluster } from "./Programs.ts"
import { peakMegabytes, residentMegabytes } from "./ProcessUsage.ts"
import { isQuick, result, table, title } from "./Report.ts"
import { figures, median, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

const perNamespace = 100

const contenders = [
  { name: "kube-resource-api", program: "src/main.ts" },
  { name: "makeInformer", program: "bench/MakeInformer.ts" }
]

const sync = (cluster: Cluster, program: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const began = performance.now()
      const { child, output, printed } = yield* start(serviceSettings(cluster), program)
      const pid = child.pid ?? 0
      yield* printed('"Ready"')
      const millis = performance.now() - began
      if (output().includes("informer:")) return yield* Effect.die(new Error(output()))
      // By then, the process has freed what it no longer needs.
      yield* Effect.sleep("10 seconds")
      return { millis, peak: peakMegabytes(pid), settled: residentMegabytes(pid) }
    })
  )

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  const sizes = quick ? [1000, 5000] : [1000, 10_000, 100_000]
  yield* title("sync")
  const measured = yield* Effect.forEach(sizes, (size) =>
    Effect.scoped(
      Effect.gen(function* () {
        const cluster = yield* startCluster({ namespaces: size / perNamespace, each: perNamespace })
        const turns = yield* takeTurns(contenders, quick ? 1 : 3, ({ program }) => sync(cluster, program))
        return { size, turns }
      })
    )
  )
  yield* table(
    ["deployments", "client", "ready, ms", "peak RSS, MiB", "settled RSS, MiB"],
    measured.flatMap(({ size, turns }) =>
      turns.map(({ contender, results }) => [
        size,
        contender.name,
        spread(figures(results, "millis"), 0),
        spread(figures(results, "peak"), 0),
        spread(figures(results, "settled"), 0)
      ])
    )
  )
  const share = (field: "peak" | "millis") => {
    const [ours = [], theirs = []] = (measured.at(-1)?.turns ?? []).map(({ results }) => figures(results, field))
    return ratios(ours, theirs)
  }
  const largest = `of syncing ${sizes.at(-1)}, relative to makeInformer`
  yield* result(`peak RSS ${largest}`, share("peak"), { atMost: 1 / 3 })
  yield* result(`time ${largest}`, share("millis"), { atMost: 1 })
  for (const [name, field, y] of [
    ["sync-memory", "peak", "peak RSS, MiB"],
    ["sync-time", "millis", "time to ready, ms"]
  ] as const) {
    yield* plot(
      name,
      { title: `Sync: ${y}`, x: "deployments in the cluster", y, logY: true },
      contenders.map((contender, index) => ({
        name: contender.name,
        points: measured.map(({ size, turns }) => [size, median(figures(turns[index]?.results ?? [], field))])
      }))
    )
  }
})

await Effect.runPromise(main)
