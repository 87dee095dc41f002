/**
 * Sends `Connection: close` only in the response to the last request of a connection.
 *
 * Node ends the connection after a response with `Connection: close`, even if requests behind it are being carried out
 * (resOnFinish in lib/_http_server.js, Node 26), so their responses are lost. A response therefore omits
 * `Connection: close` if later requests are being carried out. A request after a response with `Connection: close` is not
 * carried out: `Connections` tests `shouldKeepAlive`.
 */
import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from "node:http"
import { SlicedResponse } from "./SlicedResponse.ts"

type Fields = OutgoingHttpHeaders | Array<OutgoingHttpHeader>

/** A response that omits `Connection: close` if a later request on its connection is being carried out. */
export class OrderedResponse<R extends IncomingMessage> extends SlicedResponse<R> {
  /** Whether a later request of the connection is being carried out. */
  isFollowed = false
  /** Whether its request holds one of the places for requests in flight. */
  hasPlace = false

  override writeHead(status: number, reason?: string | Fields, fields?: Fields): this {
    return typeof reason === "string"
      ? super.writeHead(status, reason, this.ordered(fields))
      : super.writeHead(status, this.ordered(reason ?? fields))
  }

  private ordered(fields: Fields | undefined): Fields | undefined {
    if (fields === undefined || Array.isArray(fields) || fields["connection"] !== "close") return fields
    if (this.isFollowed) {
      const { connection: _, ...others } = fields
      return others
    }
    this.shouldKeepAlive = false
    return fields
  }
}

/** Whether the connection ends after this response. */
export const isLast = ({ shouldKeepAlive }: ServerResponse): boolean => !shouldKeepAlive
