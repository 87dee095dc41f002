/**
 * What the process is and what it uses, under the names of Prometheus' own client libraries. All is read when it is asked
 * for, except garbage collections and the delay of the event loop, which Node measures as it goes.
 */
import { Effect, Metric, Predicate, type Scope } from "effect"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { monitorEventLoopDelay, type PerformanceEntry, performance, PerformanceObserver } from "node:perf_hooks"
import packageJson from "../../package.json" with { type: "json" }
import { memoized } from "./Memoized.ts"
import * as ObservedMetric from "./ObservedMetric.ts"

const gcDuration = memoized((kind: string) =>
  Metric.histogram("nodejs_gc_duration_seconds", {
    description: "Garbage collections, by kind.",
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

/** How often the delay is measured, in milliseconds: what Node records is this and the delay. */
const resolution = 20

const seconds = (nanos: number): number => Math.max(0, nanos / 1e9 - resolution / 1e3)

const delaysOf = (histogram: ReturnType<typeof monitorEventLoopDelay>) => ({
  p50: seconds(histogram.percentile(50)),
  p99: seconds(histogram.percentile(99)),
  max: seconds(histogram.max)
})

/** How late the event loop's timers are: of this and the last half minute, the worse, whoever scrapes and how often. */
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
    yield* ObservedMetric.gauge(
      {
        name: "nodejs_eventloop_delay_seconds",
        description: "How late the event loop is, over the last half minute to minute.",
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
  yield* ObservedMetric.gauge(
    { name: "process_open_fds", description: "Open file descriptors." },
    () => readdirSync(openFiles).length
  )
  const maximum = Number(/Max open files\s+([0-9]+)/.exec(readFileSync(limits, "utf8"))?.[1] ?? Number.NaN)
  yield* ObservedMetric.gauge({ name: "process_max_fds", description: "How many there may be." }, () => maximum)
})

const figures: ReadonlyArray<
  readonly [kind: "gauge" | "counter", name: string, description: string, value: () => number]
> = [
  ["gauge", "process_start_time_seconds", "When the process started, in seconds since the epoch.", () => processStart],
  ["counter", "process_cpu_user_seconds_total", "CPU time spent in the program.", () => process.cpuUsage().user / 1e6],
  [
    "counter",
    "process_cpu_system_seconds_total",
    "CPU time spent in the kernel.",
    () => process.cpuUsage().system / 1e6
  ],
  [
    "counter",
    "process_cpu_seconds_total",
    "CPU time spent.",
    () => {
      const { system, user } = process.cpuUsage()
      return (system + user) / 1e6
    }
  ],
  ["gauge", "process_resident_memory_bytes", "Resident memory.", () => process.memoryUsage.rss()],
  ["gauge", "nodejs_heap_used_bytes", "Heap in use.", () => process.memoryUsage().heapUsed],
  ["gauge", "nodejs_heap_total_bytes", "Heap taken from the system.", () => process.memoryUsage().heapTotal],
  ["gauge", "nodejs_external_memory_bytes", "Memory outside of the heap.", () => process.memoryUsage().external],
  [
    "counter",
    "nodejs_eventloop_active_seconds_total",
    "Time in which the event loop had something to do.",
    () => performance.eventLoopUtilization().active / 1000
  ],
  [
    "counter",
    "nodejs_eventloop_idle_seconds_total",
    "Time in which the event loop waited.",
    () => performance.eventLoopUtilization().idle / 1000
  ]
]

/** Registers the metrics for as long as the scope is open. */
export const register: Effect.Effect<void, never, Scope.Scope> = Effect.gen(function* () {
  for (const [kind, name, description, value] of figures) {
    yield* (kind === "gauge" ? ObservedMetric.gauge : ObservedMetric.counter)({ name, description }, value)
  }
  yield* fileDescriptors
  yield* collections
  yield* eventLoopDelay
  yield* ObservedMetric.gauge(
    {
      name: "build_info",
      description: "Which build runs; always 1.",
      attributes: { version: packageJson.version, node: process.versions.node }
    },
    () => 1
  )
  yield* Metric.update(
    Metric.counter("instance_starts_total", {
      description: "Start-ups of this instance: 1 in each process.",
      incremental: true
    }),
    1
  )
  yield* Metric.update(shutdowns, 0)
})

const shutdowns = Metric.counter("instance_shutdowns_total", {
  description: "Orderly shut-downs of this instance that have begun: 1 during the drain period.",
  incremental: true
})

/** To be run when an orderly shut-down begins. */
export const shutdownBegun: Effect.Effect<void> = Metric.update(shutdowns, 1)
