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
  /** Undefined until it is answered. */
  readonly status: number | undefined
  /** How many items a list's page held. */
  readonly items: number | undefined
}

const keptRequests = 20_000

/** The requests received, oldest first; the latest 20,000 are kept. */
export class RequestLog {
  #requests: Array<{ -readonly [K in keyof LoggedRequest]: LoggedRequest[K] }> = []

  /** Logs the request; the function returned completes its entry. */
  add(
    request: Omit<LoggedRequest, "status" | "items">
  ): (answer: { readonly status: number; readonly items?: number }) => void {
    const entry = { ...request, status: undefined, items: undefined } as const
    const stored: (typeof this.#requests)[number] = { ...entry }
    this.#requests.push(stored)
    if (this.#requests.length > 2 * keptRequests) this.#requests = this.#requests.slice(-keptRequests)
    return ({ status, items }) => {
      stored.status = status
      stored.items = items
    }
  }

  get all(): ReadonlyArray<LoggedRequest> {
    return this.#requests.slice(-keptRequests).map((request) => ({ ...request }))
  }

  clear(): void {
    this.#requests = []
  }
}
