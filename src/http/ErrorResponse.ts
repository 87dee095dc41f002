/** The one place where an error becomes a status, header fields and a body. */
import { HttpServerResponse } from "effect/http"
import { headersOf, membersOf, type Problem, problemContentType } from "../contract/Problems.ts"

/** An error as it goes over the wire, through a response or straight onto a socket. */
export interface RenderedProblem {
  readonly status: number
  readonly title: string
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/** Renders an error as an RFC 9457 problem; `id` is the request's. */
export const render = (problem: Problem, id: string): RenderedProblem => {
  const { detail, status, title } = problem
  return {
    status,
    title,
    body: JSON.stringify(membersOf(problem, detail, id)),
    headers: { "x-request-id": id, ...headersOf(problem) }
  }
}

/** The response for an error; `id` is the request's. */
export const toResponse = (problem: Problem, id: string): HttpServerResponse.HttpServerResponse => {
  const { body, headers, status } = render(problem, id)
  return HttpServerResponse.text(body, { status, headers, contentType: problemContentType })
}
