/**
 * Freshness: milliseconds from a change in the cluster to the end of the first GET over mutual TLS that shows it. Measured at
 * several rates of change while other reads run at half of the service's capacity, beside the latency of such a GET. The
 * cluster shares the machine, so it sends pre-encoded protobuf.
 */
import { Effect, Fiber } from "effect"
import { visibleMillis, watchProbe } from "./Changes.ts"
import { makeLoad, pacedReads } from "./Load.ts"
import { monotonicMicros } from "./MonotonicClock.ts"
import { plot } from "./Plot.ts"
import { changeDeployments, startEncodedCluster, startService } from "./Programs.ts"
import { cpuMicros } from "./ProcessUsage.ts"
import { isQuick, print, result, table, title } from "./Report.ts"
import { figures, median, quantile, spread } from "./Spread.ts"

const read = { path: "/namespaces/load-00001/deployments/deployment-00001/replica_count", connections: 32 }

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  const seconds = quick ? 2 : 10
  const rounds = quick ? 1 : 3
  yield* title("freshness")
  const load = yield* makeLoad
  const cluster = yield* startEncodedCluster(10_000)
  const service = yield* startService(cluster)
  const count = quick ? 2000 : 20_000
  yield* load(service, { ...read, count })
  const { perSecond: saturation } = yield* load(service, { ...read, count })
  const reads = Math.round(saturation / 2)

  const measure = Effect.fnUntraced(function* (changesPerSecond: number) {
    const from = monotonicMicros()
    const others = yield* Effect.forkChild(
      pacedReads(service, { ...read, perSecond: reads, seconds: seconds + 2, alone: false })
    )
    // By then, the other reads have warmed up.
    yield* Effect.sleep("2 seconds")
    const before = cpuMicros(service.pid)
    const changing = yield* Effect.forkChild(changeDeployments(cluster, changesPerSecond, seconds, from))
    const seen = yield* watchProbe(service, from, seconds + 0.5)
    const { count, probed } = yield* Fiber.join(changing)
    const micros = cpuMicros(service.pid) - before
    const millis = yield* visibleMillis(probed, [seen])
    const latencies = yield* Fiber.join(others)
    return {
      changed: count / seconds,
      busy: micros / ((seconds + 0.5) * 10_000),
      p50: quantile(millis, 0.5),
      p99: quantile(millis, 0.99),
      get: quantile(seen.millis, 0.5),
      getP99: quantile(seen.millis, 0.99),
      reads: latencies.p99
    }
  })

  const rates = [10, 100, 1000, 5000, 10_000]
  const measured = yield* Effect.forEach(rates, (rate) =>
    Effect.map(
      Effect.forEach(Array.from({ length: rounds }), () => measure(rate)),
      (results) => ({ rate, results })
    )
  )
  yield* print(
    `${seconds} s a round, ${rounds} rounds, 10,000 deployments of 16 kB, ${reads} other GETs/s (half of the capacity)\n`
  )
  yield* table(
    ["changes/s asked", "made", "visible p50, ms", "p99, ms", "one GET p50, ms", "p99, ms", "CPU, %"],
    measured.map(({ rate, results }) => [
      rate,
      spread(figures(results, "changed"), 0),
      spread(figures(results, "p50")),
      spread(figures(results, "p99")),
      spread(figures(results, "get")),
      spread(figures(results, "getP99")),
      spread(figures(results, "busy"), 0)
    ])
  )
  for (const [rate, name] of [
    [1000, "1,000"],
    [10_000, "10,000"]
  ] as const) {
    const p99 = measured.flatMap((one) => (one.rate === rate ? figures(one.results, "p99") : []))
    yield* result(`freshness p99 at ${name} changes/s, ms`, p99, { atMost: 20 }, 1)
  }
  yield* plot(
    "freshness",
    {
      title: "Freshness while reads run at half saturation",
      x: "changes per second",
      y: "ms from change to visible",
      logY: true
    },
    (["p50", "p99"] as const).map((field) => ({
      name: field,
      points: measured.map(({ rate, results }) => [rate, median(figures(results, field))])
    }))
  )
})

await Effect.runPromise(Effect.scoped(main))
