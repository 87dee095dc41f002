/** The settings of logs, which the service and its probe share. */
import { setting, words } from "./Setting.ts"

export const logLevel = setting(
  "LOG_LEVEL",
  words("trace", "debug", "info", "warn", "error"),
  "info",
  "The least severe records to log."
)

export const logFormat = setting(
  "LOG_FORMAT",
  words("auto", "json", "pretty"),
  "auto",
  "`json` lines, `pretty` for people, or `auto`: pretty on a terminal, else json."
)
