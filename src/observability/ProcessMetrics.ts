/**
 * Metrics of the process, with the names of Prometheus' client libraries. Values are read at each scrape, except garbage
 * collections and the event loop delay, which Node measures continuously.
 */
import { Effect, Metric, Predicate, type Scope } from "effect"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { monitorEventLoopDelay, type PerformanceEntry, performance, PerformanceObserver } from "node:perf_hooks"
import packageJson from "../../package.json" with { type: "json" }
import * as Metrics from "./Metrics.ts"

const gcDuration = Metrics.memoized((kind: string) =>
  Metric.histogram("nodejs_gc_duration_seconds", {
    description: "Duration of garbage collections, by kind.",
    boundaries: [0.001, 0.01, 0.1, 1],
    attributes: { kind }
  })
)

const gcKinds: Readonly<Record<number, string>> = { 1: "minor", 4: "major", 8: "incremental", 16: "weakcb" }

const gcKind = (entry: PerformanceEntry): string =>
  Predicate.hasProperty(entry, "detail") &&
  Predicate.hasProperty(entry.detail, "kind") &&
  typeof entry.detail.kind === "number"
    ? (gcKinds[entry.detail.kind] ?? "other")
    : "other"

const collections = Effect.gen(function* () {
  const context = yield* Effect.context<never>()
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const observer = new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
          gcDuration(gcKind(entry)).updateUnsafe(entry.duration / 1000, context)
        }
      })
      observer.observe({ entryTypes: ["gc"] })
      return observer
    }),
    (observer) => Effect.sync(() => observer.disconnect())
  )
})

const delayWindow = "30 seconds"

/** The interval of the measurement in milliseconds. Node records the sum of interval and delay. */
const resolution = 20

const seconds = (nanos: number): number => Math.max(0, nanos / 1e9 - resolution / 1e3)

const delaysOf = (histogram: ReturnType<typeof monitorEventLoopDelay>) => ({
  p50: seconds(histogram.percentile(50)),
  p99: seconds(histogram.percentile(99)),
  max: seconds(histogram.max)
})

/** The event loop delay: the worse of the current and the last half minute, independent of scrapes. */
const eventLoopDelay = Effect.gen(function* () {
  const histogram = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const histogram = monitorEventLoopDelay({ resolution })
      histogram.enable()
      return histogram
    }),
    (histogram) => Effect.sync(() => histogram.disable())
  )
  let last = { p50: 0, p99: 0, max: 0 }
  yield* Effect.sync(() => {
    last = delaysOf(histogram)
    histogram.reset()
  }).pipe(Effect.delay(delayWindow), Effect.forever, Effect.forkScoped)
  for (const statistic of ["p50", "p99", "max"] as const) {
    yield* Metrics.gauge(
      {
        name: "nodejs_eventloop_delay_seconds",
        description: "Delay of the event loop in the last 30 to 60 seconds.",
        attributes: { statistic }
      },
      () => Math.max(last[statistic], histogram.count === 0 ? 0 : delaysOf(histogram)[statistic])
    )
  }
})

const processStart = Date.now() / 1000 - process.uptime()

const openFiles = "/proc/self/fd"
const limits = "/proc/self/limits"

const fileDescriptors = Effect.gen(function* () {
  if (!existsSync(openFiles) || !existsSync(limits)) return
  yield* Metrics.gauge(
    { name: "process_open_fds", description: "Open file descriptors." },
    () => readdirSync(openFiles).length
  )
  const maximum = Number(/Max open files\s+([0-9]+)/.exec(readFileSync(limits, "utf8"))?.[1] ?? Number.NaN)
  yield* Metrics.gauge({ name: "process_max_fds", description: "Limit of open file descriptors." }, () => maximum)
})

const figures: ReadonlyArray<
  readonly [kind: "gauge" | "counter", name: string, description: string, value: () => number]
> = [
  ["gauge", "process_start_time_seconds", "Start time of the process, in seconds since the epoch.", () => processStart],
  ["counter", "process_cpu_user_seconds_total", "User CPU time.", () => process.cpuUsage().user / 1e6],
  ["counter", "process_cpu_system_seconds_total", "System CPU time.", () => process.cpuUsage().system / 1e6],
  [
    "counter",
    "process_cpu_seconds_total",
    "User and system CPU time.",
    () => {
      const { system, user } = process.cpuUsage()
      return (system + user) / 1e6
    }
  ],
  ["gauge", "process_resident_memory_bytes", "Resident memory.", () => process.memoryUsage.rss()],
  ["gauge", "nodejs_heap_used_bytes", "Used heap.", () => process.memoryUsage().heapUsed],
  ["gauge", "nodejs_heap_total_bytes", "Allocated heap.", () => process.memoryUsage().heapTotal],
  [
    "gauge",
    "nodejs_external_memory_bytes",
    "Memory of objects outside of the heap.",
    () => process.memoryUsage().external
  ],
  [
    "counter",
    "nodejs_eventloop_active_seconds_total",
    "Time in which the event loop was active.",
    () => performance.eventLoopUtilization().active / 1000
  ],
  [
    "counter",
    "nodejs_eventloop_idle_seconds_total",
    "Time in which the event loop was idle.",
    () => performance.eventLoopUtilization().idle / 1000
  ]
]

/** Registers the metrics until the scope closes. */
export const register: Effect.Effect<void, never, Scope.Scope> = Effect.gen(function* () {
  for (const [kind, name, description, value] of figures) {
    yield* (kind === "gauge" ? Metrics.gauge : Metrics.counter)({ name, description }, value)
  }
  yield* fileDescriptors
  yield* collections
  yield* eventLoopDelay
  yield* Metrics.gauge(
    {
      name: "build_info",
      description: "Version and Node version of this build; always 1.",
      attributes: { version: packageJson.version, node: process.versions.node }
    },
    () => 1
  )
  yield* Metric.update(
    Metric.counter("instance_starts_total", {
      description: "Starts of this instance: 1 in each process.",
      incremental: true
    }),
    1
  )
  yield* Metric.update(shutdowns, 0)
})

const shutdowns = Metric.counter("instance_shutdowns_total", {
  description: "Graceful shutdowns of this instance: 1 from the start of the drain period.",
  incremental: true
})

/** Counts the start of a graceful shutdown. */
export const shutdownBegun: Effect.Effect<void> = Metric.update(shutdowns, 1)
