import type { CompletedRequest } from "../../src/observability/RequestObserver.ts"
import type { Identity } from "../../src/identity/Identity.ts"

/** An identity with this user name. */
export const identity = (user: string, spiffeIds: ReadonlyArray<string> = []): Identity => ({
  user,
  groups: [],
  serialNumber: "01",
  issuer: "CN=test",
  expiresAt: Number.MAX_SAFE_INTEGER,
  spiffeIds
})

/** A completed read with the given fields replaced. */
export const completed = (given: Partial<CompletedRequest> = {}): CompletedRequest => ({
  id: "r-1",
  identity: identity("viewer"),
  remoteAddress: undefined,
  method: "GET",
  target: "/namespaces/personal/deployments/nginx/replica_count",
  route: "/namespaces/:namespace/deployments/:deployment/replica_count",
  params: { namespace: "personal", deployment: "nginx" },
  status: 200,
  code: undefined,
  receivedAt: 1_795_499_968_123,
  durationMillis: 0.1234567,
  requestBytes: 100,
  responseBytes: 64,
  traceId: undefined,
  ...given
})
