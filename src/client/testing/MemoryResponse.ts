/**
 * Responses without a socket. The body of an event stream is an Effect `Stream`. A Web `ReadableStream` would use promises,
 * which a `TestClock` does not wait for.
 */
import { Effect, Inspectable, Option, Stream } from "effect"
import {
  Cookies,
  Headers,
  HttpClientError,
  type HttpClientRequest,
  HttpClientResponse,
  HttpIncomingMessage
} from "effect/http"
import { pipeArguments } from "effect/Pipeable"

/** Status, header fields and body of a response. */
export interface Content {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Stream.Stream<string, HttpClientError.HttpClientError>
}

/** A response whose body is a stream. */
class StreamedResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly remoteAddress = Option.none()
  readonly cookies = Cookies.empty
  readonly url = ""
  readonly request: HttpClientRequest.HttpClientRequest
  readonly status: number
  readonly headers: Headers.Headers
  readonly stream: Stream.Stream<Uint8Array, HttpClientError.HttpClientError>
  readonly text: Effect.Effect<string, HttpClientError.HttpClientError>
  readonly json = this.unsupported
  readonly urlParamsBody = this.unsupported
  readonly arrayBuffer = this.unsupported
  readonly formData = this.unsupported
  readonly upgrade = this.unsupported

  constructor(
    request: HttpClientRequest.HttpClientRequest,
    { headers, status }: Content,
    body: Stream.Stream<string, HttpClientError.HttpClientError>
  ) {
    super()
    this.request = request
    this.status = status
    this.headers = Headers.fromInput(headers)
    this.stream = Stream.encodeText(body)
    this.text = Stream.mkString(body)
  }

  private get unsupported(): Effect.Effect<never, HttpClientError.HttpClientError> {
    const reason = () => new HttpClientError.DecodeError({ request: this.request, response: this })
    return Effect.suspend(() => Effect.fail(new HttpClientError.HttpClientError({ reason: reason() })))
  }

  toJSON(): unknown {
    return { _id: "StreamedResponse", status: this.status }
  }

  pipe() {
    return pipeArguments(this, arguments)
  }
}

/** The response to `request`. */
export const make = (
  request: HttpClientRequest.HttpClientRequest,
  content: Content
): HttpClientResponse.HttpClientResponse => {
  const { body, headers, status } = content
  if (typeof body !== "string") return new StreamedResponse(request, content, body)
  // The Web `Response` allows no body with these statuses.
  const isEmpty = status === 304 || request.method === "HEAD"
  return HttpClientResponse.fromWeb(request, new Response(isEmpty ? null : body, { status, headers: { ...headers } }))
}

/** The error of a lost connection. */
export const connectionLost = (request: HttpClientRequest.HttpClientRequest): HttpClientError.HttpClientError =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({ request, description: "the test cluster closed the connection" })
  })
