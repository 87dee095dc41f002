/** The program of the synthetic queries: runs once, with the result as exit status, or in a loop, with results at `/metrics`. */
import { Cause, Context, Data, Effect, Exit, FileSystem, Layer, Metric, Runtime, Schedule } from "effect"
import { PrometheusMetrics } from "effect/observability"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { cannotListen } from "../server/CannotListen.ts"
import * as MetricsServer from "../server/MetricsServer.ts"
import * as Client from "../client/Client.ts"
import { readPem } from "../settings/PemFile.ts"
import { SettingError } from "../settings/SettingError.ts"
import * as Logging from "../observability/Logging.ts"
import * as Probe from "./Probe.ts"
import { load, type ProbeSettings, settings as declared } from "./ProbeConfig.ts"
import * as ProbeMetrics from "./ProbeMetrics.ts"

/** A step failed. Makes the exit status of a single run. */
class ProbeFailed extends Data.TaggedError("ProbeFailed") {}

/** The client's files. They are read for each run, because they may have been renewed since. */
const credentials = (settings: ProbeSettings) =>
  Effect.all({
    ca: readPem(declared.caFile, settings.caFile),
    cert: readPem(declared.certFile, settings.certFile),
    key: readPem(declared.keyFile, settings.keyFile)
  })

/** Writes the text file atomically, because its collector may read it at any time. */
const writeTextfile = Effect.fnUntraced(function* (path: string) {
  const fileSystem = yield* FileSystem.FileSystem
  yield* fileSystem.writeFileString(`${path}.tmp`, yield* PrometheusMetrics.format())
  yield* fileSystem.rename(`${path}.tmp`, path)
})

/** Logs the duration of each step, and the problem of a step that failed. */
const log = (results: ReadonlyArray<Probe.StepResult>) => {
  const failed = results.find(({ problem }) => problem !== undefined)
  return (failed === undefined ? Effect.logInfo("probe succeeded") : Effect.logError("probe failed")).pipe(
    Effect.annotateLogs({
      ...(failed === undefined ? {} : { step: failed.step, problem: failed.problem }),
      milliseconds: Object.fromEntries(results.map(({ durationMillis, step }) => [step, Math.round(durationMillis)]))
    })
  )
}

/** Runs, records and logs the steps on new connections. Returns whether every step succeeded. */
const probe = Effect.fnUntraced(function* (settings: ProbeSettings) {
  const files = yield* credentials(settings)
  const results = yield* Effect.flatMap(Client.make(settings.url), (client) => Probe.run(client, settings)).pipe(
    Effect.provide(Client.layerMutualTls(files), { local: true })
  )
  yield* ProbeMetrics.record(results)
  yield* log(results)
  if (settings.textfile !== undefined) yield* writeTextfile(settings.textfile)
  return ProbeMetrics.isSuccess(results)
})

const once = (settings: ProbeSettings) =>
  Effect.flatMap(probe(settings), (success) => (success ? Effect.void : Effect.fail(new ProbeFailed())))

const loop = Effect.fnUntraced(function* (settings: ProbeSettings) {
  yield* credentials(settings)
  const services = yield* Layer.build(MetricsServer.layer(settings.host, settings.metricsPort)).pipe(
    Effect.catchTag("ServeError", ({ cause }) =>
      Effect.fail(cannotListen("METRICS_PORT", settings.host, settings.metricsPort, cause))
    )
  )
  const { port: metricsPort } = Context.get(services, MetricsServer.MetricsServer)
  yield* Effect.logInfo("Probing").pipe(Effect.annotateLogs({ url: settings.url, metricsPort }))
  yield* probe(settings).pipe(
    // A file that is being replaced is missing for a moment.
    Effect.tapError((error) =>
      Effect.logError("the run could not be made").pipe(Effect.annotateLogs({ error: error.message }))
    ),
    Effect.ignore,
    Effect.repeat(Schedule.spaced(settings.interval))
  )
  return yield* Effect.never
})

const run = Effect.fnUntraced(function* (settings: ProbeSettings) {
  return settings.mode === "once" ? yield* once(settings) : yield* loop(settings)
})

const report = (cause: Cause.Cause<unknown>) => {
  const error = Cause.squash(cause)
  return Cause.hasInterruptsOnly(cause) || error instanceof ProbeFailed
    ? Effect.void
    : error instanceof SettingError
      ? Effect.logFatal(`Cannot start: ${error.message}`)
      : Effect.logFatal("The probe failed", cause)
}

const reported = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.onExit(effect, (exit) => (Exit.isFailure(exit) ? report(exit.cause) : Effect.void))

const main = reported(load).pipe(
  Effect.flatMap((settings) =>
    reported(Effect.scoped(run(settings))).pipe(Effect.provide(Logging.layer(settings, process.stdout.isTTY === true)))
  ),
  Effect.provideService(Metric.MetricRegistry, new Map()),
  Effect.provide(NodeServices.layer)
)

NodeRuntime.runMain(main, {
  disableErrorReporting: true,
  teardown: (exit, onExit) =>
    Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? onExit(0) : Runtime.defaultTeardown(exit, onExit)
})
