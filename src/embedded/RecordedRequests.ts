import type { RequestVerb } from "./KubeRoute.ts"

/** A request that the embedded cluster received. */
export interface RecordedRequest {
  readonly method: string
  /** Path and query, unparsed. */
  readonly path: string
  readonly query: URLSearchParams
  /** Undefined for a path or method that the server does not serve. */
  readonly verb: RequestVerb | undefined
  /** The resource as RBAC names it, such as `deployments/scale`; empty for `/version` and the probes. */
  readonly resource: string
  /** The `User-Agent` header, or an empty string. */
  readonly userAgent: string
  /** The W3C trace context, or an empty string. */
  readonly traceparent: string
  /** Undefined until the response. */
  readonly status: number | undefined
  /** Items in the page of a list. */
  readonly items: number | undefined
}

type Entry = { -readonly [K in keyof RecordedRequest]: RecordedRequest[K] }

const keptRequests = 20_000

/** The latest 20,000 requests received, oldest first. */
export class RequestRecorder {
  #requests: Array<Entry> = []

  /** Records the request; the function returned adds the response. */
  add(
    request: Omit<RecordedRequest, "status" | "items">
  ): (answer: { readonly status: number; readonly items?: number }) => void {
    const entry: Entry = { ...request, status: undefined, items: undefined }
    this.#requests.push(entry)
    if (this.#requests.length > 2 * keptRequests) this.#requests = this.#requests.slice(-keptRequests)
    return ({ status, items }) => {
      entry.status = status
      entry.items = items
    }
  }

  get all(): ReadonlyArray<RecordedRequest> {
    const copies: Array<RecordedRequest> = []
    for (const request of this.#requests.slice(-keptRequests)) copies.push({ ...request })
    return copies
  }

  clear(): void {
    this.#requests = []
  }
}
