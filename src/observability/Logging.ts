import { Layer, Logger, type LogLevel, References } from "effect"

const levels = { trace: "Trace", debug: "Debug", info: "Info", warn: "Warn", error: "Error" } as const satisfies Record<
  string,
  LogLevel.LogLevel
>

/** Log level and format, as in the settings. */
export interface LoggingSettings {
  readonly logLevel: keyof typeof levels
  readonly logFormat: "auto" | "json" | "pretty"
}

/** Whether the format is pretty. `terminal` tells whether standard output is a terminal. */
export const isPretty = ({ logFormat }: LoggingSettings, terminal: boolean): boolean =>
  logFormat === "pretty" || (logFormat === "auto" && terminal)

/** Logs to standard output. By default the format is pretty on a terminal, else JSON lines. */
export const layer = (settings: LoggingSettings, terminal: boolean) =>
  Layer.mergeAll(
    Logger.layer([isPretty(settings, terminal) ? Logger.consolePretty() : Logger.consoleJson]),
    Layer.succeed(References.MinimumLogLevel, levels[settings.logLevel])
  )
