/** The program: reads the settings, runs the service until a signal or a defect ends it, and reports a failure. */
import { Cause, Effect, Exit, Runtime } from "effect"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Logging from "./observability/Logging.ts"
import * as Service from "./Service.ts"
import * as Settings from "./settings/Settings.ts"

const terminal = process.stdout.isTTY === true

/** Reports an unusable setting in one line, any other failure with its cause. */
const report = (cause: Cause.Cause<unknown>) => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.logInfo("Stopped")
  const error = Cause.squash(cause)
  return error instanceof Error && "setting" in error
    ? Effect.logFatal(`Cannot start: ${error.message}`)
    : Effect.logFatal("The service failed", cause)
}

const reported = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.onExit(effect, (exit) => (Exit.isFailure(exit) ? report(exit.cause) : Effect.void))

const main = reported(Settings.load).pipe(
  Effect.flatMap((settings) =>
    reported(Service.run(settings, { stream: process.stdout, terminal })).pipe(
      Effect.provide(Logging.layer(settings, terminal))
    )
  ),
  Effect.provide(NodeServices.layer)
)

NodeRuntime.runMain(main, {
  disableErrorReporting: true,
  // An interruption comes from a signal and is not a failure.
  teardown: (exit, onExit) =>
    Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? onExit(0) : Runtime.defaultTeardown(exit, onExit)
})
