/**
 * The sync with a cluster of deployments of 16 kB of JSON, by the whole service in each encoding and by client-node's
 * `makeInformer`: milliseconds from the start of the process until the cluster is listed, the peak memory until then, and the
 * memory afterwards. The base of a program is its memory when it is ready with ten deployments.
 */
import { Effect } from "effect"
import { plot } from "./Plot.ts"
import { type EncodedCluster, serviceSettings, startEncodedCluster, startSyncing } from "./Programs.ts"
import { peakMegabytes, residentMegabytes } from "./ProcessUsage.ts"
import { isQuick, result, table, title } from "./Report.ts"
import { figures, median, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

interface Contender {
  readonly name: string
  readonly program: string
  readonly settings: (cluster: EncodedCluster) => Readonly<Record<string, string>>
}

const contenders: ReadonlyArray<Contender> = [
  { name: "protobuf", program: "src/main.ts", settings: serviceSettings },
  {
    name: "JSON",
    program: "src/main.ts",
    settings: (cluster) => ({ ...serviceSettings(cluster), KUBE_CONTENT_TYPE: "json" })
  },
  {
    name: "makeInformer",
    program: "bench/MakeInformer.ts",
    settings: (cluster) => ({ ...serviceSettings(cluster), NODE_OPTIONS: "--max-old-space-size=12288" })
  }
]

const sync = (cluster: EncodedCluster, { program, settings }: Contender) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { millis, output, pid, resident } = yield* startSyncing(settings(cluster), program)
      if (output().includes("informer:")) return yield* Effect.die(new Error(output()))
      // By then, the process has freed what it no longer needs.
      yield* Effect.sleep("10 seconds")
      return { millis, resident, peak: peakMegabytes(pid), settled: residentMegabytes(pid) }
    })
  )

const measure = (size: number, rounds: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const cluster = yield* startEncodedCluster(size)
      return { size, turns: yield* takeTurns(contenders, rounds, (contender) => sync(cluster, contender)) }
    })
  )

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  const rounds = quick ? 1 : 3
  const sizes = quick ? [1000, 5000] : [1000, 10_000, 100_000]
  yield* title("sync")
  const base = yield* measure(10, rounds)
  const larger = yield* Effect.forEach(sizes, (size) => measure(size, rounds))
  const bases = base.turns.map(({ results }) => figures(results, "resident"))
  const measured = [base, ...larger].map(({ size, turns }) => ({
    size,
    turns: turns.map(({ contender, results }, index) => {
      const peak = figures(results, "peak")
      const over = peak.map((value, round) => value - (bases[index]?.[round] ?? Number.NaN))
      return {
        name: contender.name,
        millis: figures(results, "millis"),
        peak,
        over,
        settled: figures(results, "settled")
      }
    })
  }))
  yield* table(
    ["deployments", "client", "ready, ms", "peak RSS, MiB", "over base, MiB", "settled RSS, MiB"],
    measured.flatMap(({ size, turns }) =>
      turns.map(({ millis, name, over, peak, settled }) => [
        size,
        name,
        ...[millis, peak, over, settled].map((values) => spread(values, 0))
      ])
    )
  )
  const [protobuf, json, theirs] = measured.at(-1)?.turns ?? []
  for (const [name, ours] of [
    ["protobuf", protobuf],
    ["JSON", json]
  ] as const) {
    const goals = name === "protobuf" ? { over: { atMost: 100 }, time: { atMost: 0.25 } } : {}
    const syncing = `of syncing ${sizes.at(-1)} in ${name}`
    yield* result(`peak RSS over base ${syncing}, MiB`, ours?.over ?? [], goals.over, 0)
    yield* result(`peak RSS ${syncing}, relative to makeInformer`, ratios(ours?.peak ?? [], theirs?.peak ?? []))
    yield* result(
      `time ${syncing}, relative to makeInformer`,
      ratios(ours?.millis ?? [], theirs?.millis ?? []),
      goals.time
    )
  }
  for (const [name, field, y] of [
    ["sync-memory", "peak", "peak RSS, MiB"],
    ["sync-time", "millis", "time to ready, ms"]
  ] as const) {
    yield* plot(
      name,
      { title: `Sync: ${y}`, x: "deployments of 16 kB in the cluster", y, logY: true },
      contenders.map((contender, index) => ({
        name: contender.name,
        points: measured.slice(1).map(({ size, turns }) => [size, median(turns[index]?.[field] ?? [])])
      }))
    )
  }
})

await Effect.runPromise(main)
