import type { IncomingMessage, ServerResponse } from "node:http"
import type { Server } from "node:https"

/**
 * Puts `goesOn` in front of those who listen to an event of requests by now: they get those alone for which it gives
 * `true`. For any other it has seen to the answer.
 */
export const putInFront = (
  server: Server,
  event: "request" | "checkContinue",
  goesOn: (request: IncomingMessage, response: ServerResponse) => boolean
): void => {
  const handlers = server.listeners(event)
  server.removeAllListeners(event)
  server.on(event, (request: IncomingMessage, response: ServerResponse) => {
    if (!goesOn(request, response)) return
    for (const handler of handlers) handler.call(server, request, response)
  })
}
