import type { IncomingMessage, ServerResponse } from "node:http"
import { NotReady } from "../domain/Errors.ts"
import { render } from "./ErrorMapping.ts"
import { requestId } from "./RequestId.ts"
import type { RequestObserver } from "./RequestObserver.ts"

const overloaded = new NotReady({ detail: "The instance is answering as many requests as it can." })

/** Whether a request comes with a body; the many that do not are whole once they are seen. */
export const announcesBody = ({ headers }: IncomingMessage): boolean =>
  headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined

/**
 * Answers a request that the service has no room for with 503, at the least cost, and tells the observer: nothing of the
 * application runs, and nobody asks who the client is.
 */
export const shed = (request: IncomingMessage, response: ServerResponse, observer: RequestObserver): void => {
  const given = request.headers["x-request-id"]
  const id = requestId(typeof given === "string" ? given : undefined)
  const { status, body, headers } = render(overloaded, id)
  const responseBytes = Buffer.byteLength(body)
  observer.received()
  observer.completed({
    id,
    identity: undefined,
    remoteAddress: request.socket.remoteAddress,
    method: request.method ?? "unknown",
    target: request.url ?? "",
    route: undefined,
    params: {},
    status,
    code: overloaded._tag,
    receivedAt: Date.now(),
    durationMillis: undefined,
    requestBytes: 0,
    responseBytes,
    traceId: undefined
  })
  // A body that is still to come is not waited for.
  if (announcesBody(request)) response.shouldKeepAlive = false
  response.writeHead(status, {
    ...headers,
    "content-type": "application/problem+json",
    "content-length": responseBytes
  })
  response.end(body)
}
