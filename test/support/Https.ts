import { Effect } from "effect"
import { Agent, request as httpsRequest } from "node:https"
import { Resources } from "../../src/contract/Api.ts"
import { clientOptions, type Party } from "./Pki.ts"

/** A path of every endpoint that reads: of the demo cluster's `personal` and `nginx`. */
export const readPaths = Object.values(Resources.endpoints)
  .filter(({ method }) => method === "GET")
  .map(({ path }) => path.replace(":namespace", "personal").replace(":deployment", "nginx"))

/** A response; header names are lower case. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly body: string
}

/** Sends one request on a new connection, or on one of `agent`. Fails with Node's error if there is no response. */
export const send = (
  port: number,
  options: {
    readonly client: Party
    readonly path: string
    readonly method?: string
    readonly headers?: Readonly<Record<string, string>>
    readonly body?: string
    readonly agent?: Agent
  }
): Effect.Effect<Answer, Error> =>
  Effect.callback<Answer, Error>((resume) => {
    const request = httpsRequest(
      {
        host: "127.0.0.1",
        port,
        path: options.path,
        method: options.method ?? "GET",
        headers: options.headers ?? {},
        ...(options.agent === undefined ? { agent: false, ...clientOptions(options.client) } : { agent: options.agent })
      },
      (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("error", (error) => resume(Effect.fail(error)))
        response.on("end", () =>
          resume(
            Effect.succeed({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks).toString()
            })
          )
        )
      }
    )
    request.on("error", (error) => resume(Effect.fail(error)))
    request.end(options.body)
    return Effect.sync(() => request.destroy())
  })

/** A pool of keep-alive connections of one client, closed with the scope. */
export const agent = (client: Party, maxSockets = 8) =>
  Effect.acquireRelease(
    Effect.sync(() => new Agent({ keepAlive: true, maxSockets, ...clientOptions(client) })),
    (pool) => Effect.sync(() => pool.destroy())
  )
