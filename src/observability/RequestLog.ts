/**
 * The request log: one line for each request that was answered, with the keys of the service's other records. Lines are
 * put together by hand, since they are on the way of every read; every text that a client chose is escaped as JSON.
 */
import type { LogLevel } from "effect"
import type { CompletedRequest, RequestObserver } from "../api/RequestObserver.ts"
import type { Identity } from "../security/Identity.ts"
import type { LineWriter } from "./LineWriter.ts"
import { memoized } from "./Memoized.ts"

/** Which requests are logged, and how; the words are those of the settings. */
export interface RequestLogSettings {
  /** `errors`: those with a status of 400 or more; `sampled`: those, and one in `requestLogSample` of the others. */
  readonly requestLog: "off" | "errors" | "sampled" | "all"
  readonly requestLogSample: number
}

type Level = Extract<LogLevel.LogLevel, "Info" | "Warn" | "Error">

const levels = { Info: "INFO", Warn: "WARN", Error: "ERROR" } as const

/** 500 is a defect; any other 5xx is trouble that the service knows of. */
const levelOf = (status: number): Level => (status === 500 ? "Error" : status > 500 ? "Warn" : "Info")

const maxPath = 256

const pathOf = (target: string): string => {
  const query = target.indexOf("?")
  return target.slice(0, query === -1 ? maxPath : Math.min(query, maxPath))
}

const jsonOfRoute = memoized((route: string) => JSON.stringify(route))

/** ISO 8601; requests of the same millisecond share it. */
const timestamps = () => {
  let last = 0
  let text = ""
  return (millis: number): string => {
    if (millis !== last) {
      last = millis
      text = new Date(millis).toISOString()
    }
    return text
  }
}

const parameters = (params: Readonly<Record<string, string | undefined>>): string => {
  let text = ""
  for (const name in params) {
    const value = params[name]
    if (value !== undefined) text += `,"${name}":${JSON.stringify(value)}`
  }
  return text
}

/** A line of JSON with the keys of the other records: message, level, timestamp, annotations. */
export const jsonLine = () => {
  const timestamp = timestamps()
  const subjects = new WeakMap<Identity, string>()
  // Reads of the same target share their parameters; endpoints without any may share one empty object.
  const targets = new WeakMap<object, { readonly route: string; readonly text: string }>()
  const targetOf = (route: string, params: CompletedRequest["params"]): string => {
    let known = targets.get(params)
    if (known?.route !== route) {
      known = { route, text: `,"route":${jsonOfRoute(route)}${parameters(params)}` }
      targets.set(params, known)
    }
    return known.text
  }
  const subjectOf = (identity: Identity): string => {
    let text = subjects.get(identity)
    if (text === undefined) {
      text = JSON.stringify(identity.user)
      subjects.set(identity, text)
    }
    return text
  }
  return (request: CompletedRequest): string => {
    const { code, durationMillis, identity, method, params, remoteAddress, route, status, traceId } = request
    return (
      `{"message":"request","level":"${levels[levelOf(status)]}","timestamp":"${timestamp(request.receivedAt)}","annotations":{"requestId":"${request.id}"` +
      (identity === undefined ? "" : `,"subject":${subjectOf(identity)}`) +
      (remoteAddress === undefined ? "" : `,"remoteAddress":"${remoteAddress}"`) +
      `,"method":${method === "GET" ? '"GET"' : JSON.stringify(method)}` +
      (route === undefined
        ? `,"path":${JSON.stringify(pathOf(request.target))}${parameters(params)}`
        : targetOf(route, params)) +
      `,"status":${status}` +
      (code === undefined ? "" : `,"code":"${code}"`) +
      (durationMillis === undefined ? "" : `,"durationMs":${Math.round(durationMillis * 1000) / 1000}`) +
      `,"bytes":${request.responseBytes}` +
      (traceId === undefined ? "" : `,"traceId":"${traceId}"`) +
      "}}\n"
    )
  }
}

/** A line for people. */
export const prettyLine = () => {
  const timestamp = timestamps()
  return (request: CompletedRequest): string => {
    const path =
      request.route === undefined
        ? pathOf(request.target)
        : request.route.replaceAll(/:([a-z_]+)/g, (_, name: string) => request.params[name] ?? "")
    const words = [
      `[${timestamp(request.receivedAt).slice(11, 23)}]`,
      levels[levelOf(request.status)],
      JSON.stringify(`${request.method} ${path}`).slice(1, -1),
      String(request.status),
      ...(request.code === undefined ? [] : [request.code]),
      ...(request.durationMillis === undefined ? [] : [`${request.durationMillis.toFixed(2)} ms`]),
      `${request.responseBytes} B`,
      request.identity === undefined ? "unidentified" : JSON.stringify(request.identity.user).slice(1, -1),
      request.id
    ]
    return `${words.join(" ")}\n`
  }
}

/** The observer that writes the lines. `permits`: whether the log level lets a record through. */
export const make = (
  settings: RequestLogSettings,
  writer: LineWriter,
  render: (request: CompletedRequest) => string,
  permits: (level: Level) => boolean
): RequestObserver => {
  const permitted = { Info: permits("Info"), Warn: permits("Warn"), Error: permits("Error") }
  const { requestLog, requestLogSample } = settings
  let sinceSample = 0
  const isWanted = (status: number): boolean => {
    if (!permitted[levelOf(status)]) return false
    if (requestLog === "all" || status >= 400) return true
    if (requestLog === "errors") return false
    sinceSample = (sinceSample + 1) % requestLogSample
    return sinceSample === 0
  }
  return {
    received: () => {},
    completed:
      requestLog === "off"
        ? () => {}
        : (request) => {
            if (isWanted(request.status)) writer.write(render(request))
          }
  }
}
