import type { IncomingMessage, ServerResponse } from "node:http"
import { NotReady } from "../domain/Errors.ts"
import { render } from "./ErrorMapping.ts"
import { requestId } from "./RequestId.ts"

const overloaded = new NotReady({ detail: "The instance is answering as many requests as it can." })

/** Whether a request comes with a body; the many that do not are whole once they are seen. */
export const announcesBody = ({ headers }: IncomingMessage): boolean =>
  headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined

/** Answers a request that the service has no room for with 503, at the least cost: nothing of the application runs. */
export const shed = (request: IncomingMessage, response: ServerResponse): void => {
  const given = request.headers["x-request-id"]
  const { status, body, headers } = render(overloaded, requestId(typeof given === "string" ? given : undefined))
  // A body that is still to come is not waited for.
  if (announcesBody(request)) response.shouldKeepAlive = false
  response.writeHead(status, {
    ...headers,
    "content-type": "application/problem+json",
    "content-length": Buffer.byteLength(body)
  })
  response.end(body)
}
