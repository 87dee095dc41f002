import { Effect, type Scope } from "effect"
import { type Agent, request as httpsRequest } from "node:https"
import { eventually } from "./Eventually.ts"
import { clientOptions, type Party } from "./Pki.ts"

/** An event of a stream, with the version in its comment. */
export interface StreamEvent {
  readonly event: string
  readonly id: string | undefined
  readonly data: string
  readonly version: string | undefined
}

/** An open event stream. */
export interface OpenStream {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  /** The events so far. */
  readonly events: ReadonlyArray<StreamEvent>
  /** The whole text so far. */
  readonly text: () => string
  readonly isEnded: () => boolean
  /** Waits for the event at this index. */
  readonly event: (index: number) => Effect.Effect<StreamEvent>
  readonly ended: Effect.Effect<void>
  readonly pause: () => void
  readonly resume: () => void
}

const parsed = (block: string): StreamEvent | undefined => {
  const fields = new Map<string, string>()
  for (const line of block.split("\n")) {
    const found = /^([a-z]*): ?(.*)$/.exec(line)
    if (found !== null) fields.set(found[1] ?? "", found[2] ?? "")
  }
  const event = fields.get("event")
  return event === undefined
    ? undefined
    : {
        event,
        id: fields.get("id"),
        data: fields.get("data") ?? "",
        version: /^version (.*)$/.exec(fields.get("") ?? "")?.[1]
      }
}

/** Opens an event stream, which the end of the scope closes. */
export const openStream = (
  port: number,
  options: {
    readonly client: Party
    readonly path: string
    readonly headers?: Readonly<Record<string, string>>
    readonly agent?: Agent
  }
): Effect.Effect<OpenStream, Error, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<OpenStream & { readonly close: () => void }, Error>((resume) => {
        const events: Array<StreamEvent> = []
        let text = ""
        let read = 0
        let isEnded = false
        const request = httpsRequest(
          {
            host: "127.0.0.1",
            port,
            path: options.path,
            headers: { accept: "text/event-stream", ...options.headers },
            ...(options.agent === undefined
              ? { agent: false, ...clientOptions(options.client) }
              : { agent: options.agent })
          },
          (response) => {
            response.on("data", (chunk: Buffer) => {
              text += chunk.toString()
              for (let end = text.indexOf("\n\n", read); end !== -1; end = text.indexOf("\n\n", read)) {
                const event = parsed(text.slice(read, end))
                read = end + 2
                if (event !== undefined) events.push(event)
              }
            })
            response.on("error", () => {})
            response.on("close", () => (isEnded = true))
            resume(
              Effect.succeed({
                status: response.statusCode ?? 0,
                headers: response.headers,
                events,
                text: () => text,
                isEnded: () => isEnded,
                event: (index) =>
                  eventually(
                    () => events[index],
                    (event): event is StreamEvent => event !== undefined
                  ),
                ended: Effect.asVoid(
                  eventually(
                    () => isEnded,
                    (is) => is
                  )
                ),
                pause: () => response.pause(),
                resume: () => response.resume(),
                close: () => request.destroy()
              })
            )
          }
        )
        request.on("error", (error) => resume(Effect.fail(error)))
        request.end()
      }),
      ({ close }) => Effect.sync(close)
    ),
    (stream) => stream
  )
