import { Clock, Effect, Metric } from "effect"
import { type Step, type StepResult, steps } from "./Probe.ts"

const success = (step: Step) =>
  Metric.gauge("synthetic_query_success", {
    description: "Whether the last run of the step succeeded: 1 or 0. A step does not run after one that failed.",
    attributes: { step }
  })

const duration = (step: Step) =>
  Metric.gauge("synthetic_query_duration_seconds", {
    description: "Duration of the last run of the step.",
    attributes: { step }
  })

const lastSuccess = (step: Step) =>
  Metric.gauge("synthetic_query_last_success_timestamp_seconds", {
    description: "Time of the last success of the step, in seconds since the epoch.",
    attributes: { step }
  })

const runs = (result: "success" | "failure") =>
  Metric.counter("synthetic_query_runs_total", {
    description: "Runs of all steps, by result.",
    incremental: true,
    attributes: { result }
  })

const lastRun = Metric.gauge("synthetic_query_last_run_timestamp_seconds", {
  description: "Time of the end of the last run, in seconds since the epoch."
})

/** Whether every step that ran succeeded. */
export const isSuccess = (results: ReadonlyArray<StepResult>): boolean =>
  results.every(({ problem }) => problem === undefined)

/** Records a run. Steps that did not run have no result. */
export const record = Effect.fnUntraced(function* (results: ReadonlyArray<StepResult>) {
  const now = (yield* Clock.currentTimeMillis) / 1000
  for (const step of steps) {
    const result = results.find((one) => one.step === step)
    if (result === undefined) {
      yield* Metric.remove(success(step))
      yield* Metric.remove(duration(step))
      continue
    }
    yield* Metric.update(success(step), result.problem === undefined ? 1 : 0)
    yield* Metric.update(duration(step), result.durationMillis / 1000)
    if (result.problem === undefined) yield* Metric.update(lastSuccess(step), now)
  }
  yield* Metric.update(runs("success"), isSuccess(results) ? 1 : 0)
  yield* Metric.update(runs("failure"), isSuccess(results) ? 0 : 1)
  yield* Metric.update(lastRun, now)
})
