import type { KubeVerb } from "./Faults.ts"

/** One request the embedded cluster received. */
export interface LoggedRequest {
  readonly method: string
  /** Path and query as they came. */
  readonly path: string
  readonly query: URLSearchParams
  /** Undefined where the request addresses nothing the server has. */
  readonly verb: KubeVerb | undefined
  /** As RBAC names it, `deployments/scale` for the subresource; empty for `/version` and the probes. */
  readonly resource: string
  /** The `User-Agent`, empty when there is none. */
  readonly userAgent: string
  /** The W3C trace context, empty when there is none. */
  readonly traceparent: string
  /** Undefined until it is answered. */
  readonly status: number | undefined
  /** How many items a list's page held. */
  readonly items: number | undefined
}

type Entry = { -readonly [K in keyof LoggedRequest]: LoggedRequest[K] }

const keptRequests = 20_000

/** The requests received, oldest first; the latest 20,000 are kept. */
export class RequestLog {
  #requests: Array<Entry> = []

  /** Logs the request; the function returned completes its entry. */
  add(
    request: Omit<LoggedRequest, "status" | "items">
  ): (answer: { readonly status: number; readonly items?: number }) => void {
    const entry: Entry = { ...request, status: undefined, items: undefined }
    this.#requests.push(entry)
    if (this.#requests.length > 2 * keptRequests) this.#requests = this.#requests.slice(-keptRequests)
    return ({ status, items }) => {
      entry.status = status
      entry.items = items
    }
  }

  get all(): ReadonlyArray<LoggedRequest> {
    const copies: Array<LoggedRequest> = []
    for (const request of this.#requests.slice(-keptRequests)) copies.push({ ...request })
    return copies
  }

  clear(): void {
    this.#requests = []
  }
}
