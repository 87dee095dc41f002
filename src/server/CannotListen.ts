import { Predicate } from "effect"
import { SettingError } from "../settings/SettingError.ts"

/** The error of the setting to correct if the server cannot listen, by Node's error code. */
export const cannotListen = (
  setting: "PORT" | "METRICS_PORT",
  host: string,
  port: number,
  cause: unknown
): SettingError => {
  const code = Predicate.hasProperty(cause, "code") ? cause.code : undefined
  switch (code) {
    case "EADDRINUSE":
      return new SettingError({
        setting,
        value: String(port),
        problem: "the port is in use",
        fix: "Stop what listens on it, or name another."
      })
    case "EACCES":
      return new SettingError({
        setting,
        value: String(port),
        problem: "this process may not listen on it",
        fix: "Name a port above 1023."
      })
    default:
      return new SettingError({
        setting: "HOST",
        value: host,
        problem: `it cannot be listened on (${String(code)})`,
        fix: "Name an address of this machine, or 0.0.0.0 for all."
      })
  }
}
