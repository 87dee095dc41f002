import { Context, Duration, Effect, Layer, type Scope } from "effect"
import { Agent, request as httpsRequest } from "node:https"
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls"
import * as EventStream from "./EventStream.ts"
import { noAnswer, NoAnswer } from "./NoAnswer.ts"
import type { ClientCertificate, Settings } from "./Settings.ts"

/** A client that may do everything, one that may do nothing, or one without a certificate. */
export type Caller = "admin" | "denied" | "nobody"

/** A response. Header names are in lower case. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly body: string
}

/** The options of a request. */
export interface Question {
  readonly as?: Caller
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Sends a request and waits for its response. */
type Ask = (path: string, question?: Question) => Effect.Effect<Answer, NoAnswer>

const make = Effect.fnUntraced(function* (settings: Settings) {
  const options = (certificate: ClientCertificate | undefined): ConnectionOptions => ({
    ca: settings.ca,
    servername: settings.serverName,
    ...certificate
  })
  const certificates: Record<Caller, ClientCertificate | undefined> = {
    admin: settings.admin,
    denied: settings.denied,
    nobody: undefined
  }
  const host = settings.url.hostname
  const port = Number(settings.url.port === "" ? 443 : settings.url.port)

  // One connection for each caller, so that a load balancer sends all of its requests to the same instance.
  const pool = (caller: Caller) =>
    Effect.acquireRelease(
      Effect.sync(() => new Agent({ keepAlive: true, maxSockets: 1, ...options(certificates[caller]) })),
      (agent) => Effect.sync(() => agent.destroy())
    )
  const agents = { admin: yield* pool("admin"), denied: yield* pool("denied"), nobody: yield* pool("nobody") }

  const send = (agent: Agent, path: string, { headers = {}, method = "GET" }: Question) =>
    Effect.callback<Answer, NoAnswer>((resume) => {
      const outgoing = httpsRequest({ host, port, path, method, headers, agent }, (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("error", (error) => resume(Effect.fail(noAnswer(error))))
        response.on("end", () =>
          resume(
            Effect.succeed({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks).toString()
            })
          )
        )
      })
      outgoing.on("error", (error) => resume(Effect.fail(noAnswer(error))))
      outgoing.end()
      return Effect.sync(() => outgoing.destroy())
    }).pipe(
      Effect.timeoutOrElse({
        duration: Duration.seconds(60),
        orElse: () => Effect.fail(new NoAnswer({ problem: "none within 60 seconds" }))
      })
    )

  const open = (more: ConnectionOptions) =>
    Effect.acquireRelease(
      Effect.callback<TLSSocket, NoAnswer>((resume) => {
        const socket = connect({ host, port, ...options(settings.admin), ...more })
        socket.once("secureConnect", () => resume(Effect.succeed(socket)))
        socket.once("error", (error) => resume(Effect.fail(noAnswer(error))))
      }),
      (socket) => Effect.sync(() => socket.destroy())
    )

  return ServiceUnderTest.of({
    ask: (path, question = {}) => send(agents[question.as ?? "admin"], path, question),
    connection: Effect.map(
      pool("admin"),
      (agent): Ask =>
        (path, question = {}) =>
          send(agent, path, question)
    ),
    stream: (path, headers = {}) =>
      EventStream.open({ host, port, path, headers, ...options(settings.admin) }, settings.patienceMillis),
    handshake: (more) =>
      Effect.scoped(
        Effect.map(open(more), (socket) => ({
          protocol: socket.getProtocol() ?? "",
          cipher: socket.getCipher().standardName ?? socket.getCipher().name
        }))
      ),
    unfinished: (sent) =>
      Effect.scoped(
        Effect.flatMap(open({}), (socket) =>
          Effect.callback<string>((resume) => {
            const chunks: Array<Buffer> = []
            socket.on("data", (chunk: Buffer) => chunks.push(chunk))
            socket.on("error", () => socket.destroy())
            socket.once("close", () => resume(Effect.succeed(Buffer.concat(chunks).toString("latin1"))))
            socket.write(sent)
          })
        )
      ).pipe(
        Effect.timeoutOrElse({
          duration: Duration.minutes(2),
          orElse: () => Effect.fail(new NoAnswer({ problem: "the connection was still open after 2 minutes" }))
        })
      ),
    knows: (caller) => caller === "nobody" || certificates[caller] !== undefined
  })
})

/** The service that the suite checks: an instance, or several behind one address. */
export class ServiceUnderTest extends Context.Service<
  ServiceUnderTest,
  {
    /** All requests of a caller go over one connection, so a load balancer sends them to the same instance. */
    readonly ask: Ask
    /** A further connection of the client that may do everything, perhaps to another instance. */
    readonly connection: Effect.Effect<Ask, never, Scope.Scope>
    /** Opens an event stream of the client that may do everything, over a connection of its own. */
    readonly stream: (
      path: string,
      headers?: Readonly<Record<string, string>>
    ) => Effect.Effect<EventStream.OpenStream, NoAnswer, Scope.Scope>
    /** Opens a connection with these TLS options and returns what was negotiated. */
    readonly handshake: (
      options: ConnectionOptions
    ) => Effect.Effect<{ readonly protocol: string; readonly cipher: string }, NoAnswer>
    /** Sends only this text, and returns all that the server sends until it closes. */
    readonly unfinished: (sent: string) => Effect.Effect<string, NoAnswer>
    /** Whether the settings name a certificate of this caller. */
    readonly knows: (caller: Caller) => boolean
  }
>()("kube-resource-api/e2e/ServiceUnderTest") {}

/** The service that the settings name. */
export const layer = (settings: Settings) => Layer.effect(ServiceUnderTest, make(settings))
