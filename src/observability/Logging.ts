import { Console, Layer, Logger, type LogLevel, References } from "effect"
import { printable } from "./Printable.ts"

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

/** Effect's pretty logger passes the value of an annotation as the second argument, and prints texts as they are. */
const escaping: Console.Console = {
  ...globalThis.console,
  log: (first: unknown, ...values: ReadonlyArray<unknown>) =>
    globalThis.console.log(first, ...values.map((value) => (typeof value === "string" ? printable(value) : value)))
}

const pretty = Layer.merge(Logger.layer([Logger.consolePretty()]), Layer.succeed(Console.Console, escaping))

/** Logs to standard output. By default the format is pretty on a terminal, else JSON lines. */
export const layer = (settings: LoggingSettings, terminal: boolean) =>
  Layer.mergeAll(
    isPretty(settings, terminal) ? pretty : Logger.layer([Logger.consoleJson]),
    Layer.succeed(References.MinimumLogLevel, levels[settings.logLevel])
  )
