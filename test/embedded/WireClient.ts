/**
 * A plain HTTP client for the embedded cluster, which exposes the wire format and does not retry.
 */
import * as Http from "node:http"
import { Effect, Queue, Schema, type Scope } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"

/** The connection failed before the response was complete. */
export class ConnectionLost extends Schema.TaggedError<ConnectionLost>()("ConnectionLost", {
  cause: Schema.Defect()
}) {}

/** A complete response. */
export interface WireResponse {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly text: string
  readonly bytes: Uint8Array
}

export interface WireRequest {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
}

const Metadata = Schema.Struct({
  name: Schema.optionalKey(Schema.String),
  namespace: Schema.optionalKey(Schema.String),
  resourceVersion: Schema.optionalKey(Schema.String),
  continue: Schema.optionalKey(Schema.String),
  remainingItemCount: Schema.optionalKey(Schema.Number),
  annotations: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
})

const KubeObject = Schema.Struct({
  kind: Schema.optionalKey(Schema.String),
  apiVersion: Schema.optionalKey(Schema.String),
  metadata: Metadata,
  spec: Schema.optionalKey(Schema.Struct({ replicas: Schema.optionalKey(Schema.Number) })),
  status: Schema.optionalKey(Schema.Unknown),
  code: Schema.optionalKey(Schema.Number),
  reason: Schema.optionalKey(Schema.String),
  message: Schema.optionalKey(Schema.String),
  details: Schema.optionalKey(Schema.Unknown),
  items: Schema.optionalKey(
    Schema.NullOr(
      Schema.Array(
        Schema.Struct({
          kind: Schema.optionalKey(Schema.String),
          metadata: Metadata,
          spec: Schema.Struct({ replicas: Schema.optionalKey(Schema.Number) })
        })
      )
    )
  )
})

/** Decodes the object of a response. Anything else is a defect. */
export const decodeObject = (text: string) =>
  Effect.orDie(Schema.decodeUnknownEffect(Schema.fromJsonString(KubeObject))(text))

const WatchEvent = Schema.fromJsonString(Schema.Struct({ type: Schema.String, object: KubeObject }))

/** Decodes a line of a watch. */
export const decodeEvent = (line: string) => Effect.orDie(Schema.decodeUnknownEffect(WatchEvent)(line))

const start = (url: string, request: WireRequest, onResponse: (response: Http.IncomingMessage) => void) => {
  const options = { method: request.method ?? "GET", headers: request.headers ?? {}, agent: false }
  const outgoing = Http.request(url, options, onResponse)
  outgoing.end(request.body)
  return outgoing
}

/** Sends a request and reads the complete response. */
export const send = Effect.fnUntraced(function* (path: string, request: WireRequest = {}) {
  const { url } = yield* EmbeddedKube
  return yield* Effect.callback<WireResponse, ConnectionLost>((resume) => {
    const fail = (cause: unknown): void => resume(Effect.fail(new ConnectionLost({ cause })))
    const outgoing = start(`${url}${path}`, request, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("error", fail)
      response.on("end", () => {
        const bytes = Buffer.concat(chunks)
        const { headers, statusCode = 0 } = response
        resume(Effect.succeed({ status: statusCode, headers, text: bytes.toString(), bytes }))
      })
    })
    outgoing.on("error", fail)
    return Effect.sync(() => {
      outgoing.destroy()
    })
  })
})

/** Sends a request and decodes the object of the response. */
export const sendFor = Effect.fnUntraced(function* (path: string, request: WireRequest = {}) {
  const response = yield* send(path, request)
  return { ...response, object: yield* decodeObject(response.text) }
})

/** A piece of a watch: a line, or its end with the bytes after the last line. */
export type WatchPiece =
  | { readonly _tag: "Line"; readonly text: string }
  | { readonly _tag: "End"; readonly clean: boolean; readonly partial: string }

export interface WireWatch {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly pieces: Queue.Dequeue<WatchPiece>
}

/** Opens a watch whose pieces are queued until the scope closes it. */
export const watch = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<WireWatch, ConnectionLost, EmbeddedKube | Scope.Scope> {
  const { url } = yield* EmbeddedKube
  const pieces = yield* Queue.unbounded<WatchPiece>()
  const { response } = yield* Effect.acquireRelease(
    Effect.callback<{ outgoing: Http.ClientRequest; response: Http.IncomingMessage }, ConnectionLost>((resume) => {
      const outgoing = start(`${url}${path}`, {}, (response) => {
        let rest = ""
        response.setEncoding("utf8")
        response.on("data", (chunk: string) => {
          const lines = (rest + chunk).split("\n")
          rest = lines.pop() ?? ""
          for (const text of lines) Queue.offerUnsafe(pieces, { _tag: "Line", text })
        })
        response.on("error", () => {})
        response.on("close", () => {
          Queue.offerUnsafe(pieces, { _tag: "End", clean: response.complete, partial: rest })
        })
        resume(Effect.succeed({ outgoing, response }))
      })
      outgoing.on("error", (cause) => resume(Effect.fail(new ConnectionLost({ cause }))))
    }),
    ({ outgoing }) =>
      Effect.sync(() => {
        outgoing.destroy()
      })
  )
  return { status: response.statusCode ?? 0, headers: response.headers, pieces }
})

/** The event of the next line. */
export const nextEvent = Effect.fnUntraced(function* (watch: WireWatch) {
  const piece = yield* Queue.take(watch.pieces)
  return piece._tag === "Line"
    ? yield* decodeEvent(piece.text)
    : yield* Effect.die(new Error(`the watch ended where an event was due, clean: ${piece.clean}`))
})

/** The next `count` events in the form `TYPE name`. */
export const nextEvents = Effect.fnUntraced(function* (watch: WireWatch, count: number) {
  const events: Array<string> = []
  while (events.length < count) {
    const { object, type } = yield* nextEvent(watch)
    events.push(`${type} ${object.metadata.name ?? ""}`.trim())
  }
  return events
})

/** The end of the watch. Fails the test on another line. */
export const end = Effect.fnUntraced(function* (watch: WireWatch) {
  const piece = yield* Queue.take(watch.pieces)
  return piece._tag === "End"
    ? piece
    : yield* Effect.die(new Error(`a line came where the watch's end was due: ${piece.text}`))
})
