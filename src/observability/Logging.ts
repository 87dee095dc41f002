import { Layer, Logger, type LogLevel, References } from "effect"

const levels = { trace: "Trace", debug: "Debug", info: "Info", warn: "Warn", error: "Error" } as const satisfies Record<
  string,
  LogLevel.LogLevel
>

/** How to log; the words are those of the settings. */
export interface LoggingSettings {
  readonly logLevel: keyof typeof levels
  readonly logFormat: "auto" | "json" | "pretty"
}

/** Whether records are for people. `terminal`: whether a person reads standard output. */
export const isPretty = ({ logFormat }: LoggingSettings, terminal: boolean): boolean =>
  logFormat === "pretty" || (logFormat === "auto" && terminal)

/** Log records to standard output: JSON lines under a supervisor, for people on a terminal, unless the settings say. `terminal`: whether a person reads standard output. */
export const layer = (settings: LoggingSettings, terminal: boolean) =>
  Layer.mergeAll(
    Logger.layer([isPretty(settings, terminal) ? Logger.consolePretty() : Logger.consoleJson]),
    Layer.succeed(References.MinimumLogLevel, levels[settings.logLevel])
  )
