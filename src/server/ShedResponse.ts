import { Clock, Effect, FiberSet } from "effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import { Resources } from "../contract/Api.ts"
import * as PathTemplate from "../contract/PathTemplate.ts"
import { NotReady, problemContentType } from "../contract/Problems.ts"
import { Audit } from "../observability/Audit.ts"
import { ClientIdentity } from "../identity/Identity.ts"
import { render } from "../http/ErrorResponse.ts"
import { requestId } from "../http/RequestForm.ts"
import { sentConditions } from "../http/SentConditions.ts"
import { RequestObserver } from "../observability/RequestObserver.ts"

const overloaded = new NotReady({ detail: "The instance is answering as many requests as it can." })

/** Whether a request announces a body. Without one, the request is complete after its headers. */
export const announcesBody = ({ headers }: IncomingMessage): boolean =>
  headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined

const { method: writeMethod, path: writePath } = Resources.endpoints.setReplicaCount

const writeParams = PathTemplate.matching(writePath)

/**
 * Answers requests beyond the in-flight limit with 503 at the least cost: nothing else of the application runs.
 * Notifies the observer and, for a write, the audit log.
 */
export const make = Effect.gen(function* () {
  const audit = yield* Audit
  const clock = yield* Clock.Clock
  const identities = yield* ClientIdentity
  const observer = yield* RequestObserver
  const fork = yield* FiberSet.makeRuntime<never, void, never>()

  return (request: IncomingMessage, response: ServerResponse): void => {
    const id = requestId(request.headers["x-request-id"])
    const { status, body, headers } = render(overloaded, id)
    const responseBytes = Buffer.byteLength(body)
    const receivedAt = clock.currentTimeMillisUnsafe()
    const identity = identities.of(request.socket, receivedAt)
    const { remoteAddress } = request.socket
    const target = request.url ?? ""
    observer.received()
    observer.completed({
      id,
      identity,
      remoteAddress,
      method: request.method ?? "unknown",
      target,
      route: undefined,
      params: {},
      status,
      code: overloaded.code,
      receivedAt,
      durationMillis: undefined,
      requestBytes: 0,
      responseBytes,
      traceId: undefined
    })
    const written = request.method === writeMethod ? writeParams(PathTemplate.pathOf(target)) : undefined
    if (written !== undefined) {
      const { deployment = "", namespace = "", replica_count: to = "" } = written
      fork(
        audit.record({
          requestId: id,
          identity,
          remoteAddress,
          namespace,
          deployment,
          to,
          from: undefined,
          ...sentConditions(request.headers["if-match"], target),
          outcome: "refused",
          code: overloaded.code,
          late: false,
          receivedAt
        })
      )
    }
    // Does not wait for a body that is still to come.
    if (announcesBody(request)) response.shouldKeepAlive = false
    response.writeHead(status, {
      ...headers,
      "content-type": problemContentType,
      "content-length": responseBytes
    })
    response.end(body)
  }
})
