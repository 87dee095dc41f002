/**
 * The request log: one line for each completed request, with the keys of the other log records. Lines are concatenated by
 * hand, because every read writes one. All text that a client chooses is escaped.
 */
import type { LogLevel } from "effect"
import type { CompletedRequest, RequestObserver } from "./RequestObserver.ts"
import type { LineWriter } from "./LineWriter.ts"
import { printable } from "./Printable.ts"

/** The requests to log, as in the settings. */
export interface RequestLogSettings {
  /** `errors` logs statuses from 400; `sampled` logs these and one in `requestLogSample` other requests. */
  readonly requestLog: "off" | "errors" | "sampled" | "all"
  readonly requestLogSample: number
}

type Level = Extract<LogLevel.LogLevel, "Info" | "Warn" | "Error">

const levels = { Info: "INFO", Warn: "WARN", Error: "ERROR" } as const

/** 500 is a defect; any other 5xx is an expected failure. */
const levelOf = (status: number): Level => (status === 500 ? "Error" : status > 500 ? "Warn" : "Info")

const maxPath = 256

const pathOf = (target: string): string => {
  const query = target.indexOf("?")
  return target.slice(0, query === -1 ? maxPath : Math.min(query, maxPath))
}

/** Memoizes the last rendering. */
const unlessSame = <A>(make: (of: A) => string): ((of: A) => string) => {
  let last: { readonly of: A; readonly text: string } | undefined
  return (of) => {
    if (last?.of !== of) last = { of, text: make(of) }
    return last.text
  }
}

/** ISO 8601; requests in the same millisecond share the rendering. */
const timestamps = () => unlessSame((millis: number) => new Date(millis).toISOString())

const durationText = (micros: number) => `,"durationMs":${micros / 1000}`

const shortDurations = Array.from({ length: 1000 }, (_, micros) => durationText(micros))

/** Key and value of the duration in microseconds precision; empty if there is none. */
const durationOf = ({ durationMillis }: CompletedRequest): string => {
  if (durationMillis === undefined) return ""
  const micros = Math.round(durationMillis * 1000)
  return shortDurations[micros] ?? durationText(micros)
}

const parameters = (params: Readonly<Record<string, string | undefined>>): string => {
  let text = ""
  for (const name in params) {
    const value = params[name]
    if (value !== undefined) text += `,"${name}":${JSON.stringify(value)}`
  }
  return text
}

/** The text from the request id to the duration. */
const middleOf = ({
  code,
  held,
  identity,
  method,
  params,
  remoteAddress,
  route,
  status,
  target
}: CompletedRequest): string =>
  '"' +
  (identity === undefined ? "" : `,"subject":${JSON.stringify(identity.user)}`) +
  (remoteAddress === undefined ? "" : `,"remoteAddress":"${remoteAddress}"`) +
  `,"method":${JSON.stringify(method)}` +
  (route === undefined ? `,"path":${JSON.stringify(pathOf(target))}` : `,"route":${JSON.stringify(route)}`) +
  `${parameters(params)},"status":${status}` +
  (code === undefined ? "" : `,"code":"${code}"`) +
  (held === undefined ? "" : `,"held":"${held}"`)

/** The text from the duration to the end of the line. */
const endOf = ({ responseBytes, traceId }: CompletedRequest): string =>
  `,"bytes":${responseBytes}${traceId === undefined ? "" : `,"traceId":"${traceId}"`}}}\n`

/** The texts that all requests like `like` share. */
interface Known {
  readonly like: CompletedRequest
  readonly middle: string
  readonly end: string
}

/** Whether the fields that `isLike` compares determine the shared texts of the requests with the same `params` object. */
const isPlain = (request: CompletedRequest): boolean =>
  request.code === undefined &&
  request.traceId === undefined &&
  request.held === undefined &&
  request.remoteAddress === undefined &&
  request.identity !== undefined &&
  request.route !== undefined

const isLike = (one: CompletedRequest, other: CompletedRequest): boolean =>
  one.route === other.route &&
  one.status === other.status &&
  one.responseBytes === other.responseBytes &&
  one.method === other.method &&
  one.identity?.user === other.identity?.user

/** A JSON line with the keys of the other log records: message, level, timestamp, annotations. */
export const jsonLine = () => {
  const timestamp = timestamps()
  const opening = (level: Level) =>
    unlessSame(
      (millis: number) =>
        `{"message":"request","level":"${levels[level]}","timestamp":"${timestamp(millis)}","annotations":{"requestId":"`
    )
  const openings = { Info: opening("Info"), Warn: opening("Warn"), Error: opening("Error") }
  // Reads of the same target share their parameters, and endpoints without parameters may share one empty object.
  const targets = new WeakMap<object, Known>()
  const textsOf = (request: CompletedRequest): Known => {
    const known = targets.get(request.params)
    if (known !== undefined && isPlain(request) && isLike(known.like, request)) return known
    const texts = { like: request, middle: middleOf(request), end: endOf(request) }
    if (isPlain(request)) targets.set(request.params, texts)
    return texts
  }
  return (request: CompletedRequest): string => {
    const { end, middle } = textsOf(request)
    return openings[levelOf(request.status)](request.receivedAt) + request.id + middle + durationOf(request) + end
  }
}

/** A line in the pretty format. */
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
      printable(`${request.method} ${path}`),
      String(request.status),
      ...(request.code === undefined ? [] : [request.code]),
      ...(request.durationMillis === undefined ? [] : [`${request.durationMillis.toFixed(2)} ms`]),
      `${request.responseBytes} B`,
      request.identity === undefined ? "unidentified" : printable(request.identity.user),
      request.id
    ]
    return `${words.join(" ")}\n`
  }
}

/** The observer that writes the lines. `permits` tells whether the log level includes a record. */
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
