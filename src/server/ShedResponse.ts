import { Clock, Effect, FiberSet } from "effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import { NotReady } from "../contract/Problems.ts"
import { Audit } from "../observability/Audit.ts"
import { ClientIdentity } from "../identity/Identity.ts"
import { render } from "../http/ErrorResponse.ts"
import { requestId } from "../http/RequestId.ts"
import { RequestObserver } from "../observability/RequestObserver.ts"

const overloaded = new NotReady({ detail: "The instance is answering as many requests as it can." })

/** Whether a request comes with a body; the many that do not are whole once they are seen. */
export const announcesBody = ({ headers }: IncomingMessage): boolean =>
  headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined

const write = /^\/namespaces\/([^/?]+)\/deployments\/([^/?]+)\/replica_count\/([^/?]+)(?:\?|$)/

/**
 * Answers requests that the service has no room for with 503, at the least cost, and tells the observer and, of a write,
 * the audit: nothing else of the application runs.
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
      code: overloaded._tag,
      receivedAt,
      durationMillis: undefined,
      requestBytes: 0,
      responseBytes,
      traceId: undefined
    })
    const [, namespace, deployment, to] = (request.method === "PUT" ? write.exec(target) : null) ?? []
    if (namespace !== undefined && deployment !== undefined && to !== undefined) {
      const outcome = { outcome: "refused", code: overloaded._tag, late: false } as const
      const from = undefined
      fork(
        audit.record({
          requestId: id,
          identity,
          remoteAddress,
          namespace,
          deployment,
          to,
          from,
          ...outcome,
          receivedAt
        })
      )
    }
    // A body that is still to come is not waited for.
    if (announcesBody(request)) response.shouldKeepAlive = false
    response.writeHead(status, {
      ...headers,
      "content-type": "application/problem+json",
      "content-length": responseBytes
    })
    response.end(body)
  }
})
