/**
 * Ends a connection only with the response to its last request.
 *
 * Node ends the connection after a response with `Connection: close`, even if requests behind it are being carried out
 * (resOnFinish in lib/_http_server.js, Node 26). Their responses are lost. So a response that has successors does not send
 * `Connection: close`, and a request after one that does is not carried out: Connections tests `shouldKeepAlive`.
 */
import { Predicate } from "effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import { SlicedResponse } from "./SlicedResponse.ts"

/** A response that knows its successor on the connection. */
export class OrderedResponse<R extends IncomingMessage> extends SlicedResponse<R> {
  /** Whether a later request of the connection is being carried out. */
  isFollowed = false

  override writeHead(...given: [unknown, unknown?, unknown?]): this {
    const headers = given.at(-1)
    if (Predicate.hasProperty(headers, "connection") && headers.connection === "close") {
      if (this.isFollowed) {
        const { connection: _, ...others } = headers
        given[given.length - 1] = others
      } else {
        this.shouldKeepAlive = false
      }
    }
    Reflect.apply(super.writeHead, this, given)
    return this
  }
}

/** Whether the connection ends after this response. */
export const isLast = ({ shouldKeepAlive }: ServerResponse): boolean => !shouldKeepAlive
