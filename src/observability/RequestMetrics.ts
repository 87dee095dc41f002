/**
 * Metrics of requests. Every label has a bounded set of values, such as path templates, and never text that a client sent.
 * Each series is looked up once, so that a request only increments it.
 */
import { Clock, type Context, Effect, Metric, type Scope } from "effect"
import type { CompletedRequest, RequestObserver } from "./RequestObserver.ts"
import { Resources } from "../contract/Api.ts"
import type { Identity } from "../identity/Identity.ts"
import * as DistinctUsers from "./DistinctUsers.ts"
import * as Metrics from "./Metrics.ts"

const methods = new Set(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "CONNECT"])

const durationBoundaries = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
const sizeBoundaries = [128, 512, 2048, 8192, 32_768, 131_072, 524_288, 2_097_152, 8_388_608]

/** The kind of the caller. */
export type UserKind = "person" | "service-account" | "system" | "workload" | "unidentified"

/**
 * Kubernetes' prefixes mark service accounts and cluster components (`system:node:...`), and a SPIFFE ID marks a workload.
 * All other identified callers count as persons.
 */
export const userKind = (identity: Identity | undefined): UserKind => {
  if (identity === undefined) return "unidentified"
  if (identity.user.startsWith("system:serviceaccount:")) return "service-account"
  if (identity.user.startsWith("system:")) return "system"
  return identity.spiffeIds.length > 0 ? "workload" : "person"
}

const requestSeries = (route: string, method: string, status: number) => ({
  total: Metric.counter("http_requests_total", {
    description: "Requests, by endpoint, method and status; 499: the client disconnected before the response.",
    incremental: true,
    attributes: { route, method, code: String(status) }
  }),
  duration: Metric.histogram("http_request_duration_seconds", {
    description: "Time from the headers of a request to its response, by endpoint, method and status class.",
    boundaries: durationBoundaries,
    attributes: { route, method, code: `${Math.floor(status / 100)}xx` }
  })
})

const sizeSeries = (route: string) => ({
  requestSize: Metric.histogram("http_request_size_bytes", {
    description: "Size of the target and header block of a request.",
    boundaries: sizeBoundaries,
    attributes: { route }
  }),
  responseSize: Metric.histogram("http_response_size_bytes", {
    description: "Size of the body of a response.",
    boundaries: sizeBoundaries,
    attributes: { route }
  })
})

const useSeries = (kind: UserKind, access: "read" | "write") =>
  Metric.counter("requests_by_user_kind_total", {
    description: "Reads and writes of resources, by kind of user.",
    incremental: true,
    attributes: { user_kind: kind, access }
  })

const resources: ReadonlySet<string> = new Set(Object.values(Resources.endpoints).map(({ path }) => path))

const isUse = (route: string): boolean => resources.has(route)

/** The update functions of the series of an endpoint, method and status. */
const counting = (route: string, method: string, status: number, context: Context.Context<never>) => {
  const held = <Input, State>(metric: Metric.Metric<Input, State>) => Metrics.updater(metric, context)
  const { duration, total } = requestSeries(route, method, status)
  const { requestSize, responseSize } = sizeSeries(route)
  // The duration series must not exist if no request is complete.
  let timed: ((seconds: number) => void) | undefined
  return {
    total: held(total),
    duration: (seconds: number) => (timed ??= held(duration))(seconds),
    requestSize: held(requestSize),
    responseSize: held(responseSize),
    uses: isUse(route)
      ? Metrics.memoized((kind: UserKind) => held(useSeries(kind, method === "PUT" ? "write" : "read")))
      : undefined
  }
}

/** The kind of an identity and the hour in which it was last counted. An identity lives as long as its connection. */
interface Known {
  readonly kind: UserKind
  hour: number
}

/** The observer that updates the metric registry of the context. */
export const make: Effect.Effect<RequestObserver, never, Scope.Scope> = Effect.gen(function* () {
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const users = DistinctUsers.make()
  const known = new WeakMap<Identity, Known>()
  let inFlight = 0

  const series = Metrics.memoized((route: string) =>
    Metrics.memoized((method: string) => Metrics.memoized((status: number) => counting(route, method, status, context)))
  )

  yield* Metrics.gauge({ name: "http_requests_in_flight", description: "Requests in flight." }, () => inFlight)
  for (const [window, pastHours] of [
    ["1h", 1],
    ["1d", 23]
  ] as const) {
    yield* Metrics.gauge(
      {
        name: "distinct_users",
        description: `Users that this instance has seen in the window, in whole hours. ${DistinctUsers.maxUsers} means at least as many.`,
        attributes: { window }
      },
      () => users.count(pastHours, clock.currentTimeMillisUnsafe())
    )
  }

  /** Returns the kind of the caller. Counts the caller at most once an hour per connection. */
  const seen = ({ identity, receivedAt }: CompletedRequest): UserKind => {
    if (identity === undefined) return "unidentified"
    const hour = Math.floor(receivedAt / 3_600_000)
    let one = known.get(identity)
    if (one === undefined) {
      one = { kind: userKind(identity), hour: -1 }
      known.set(identity, one)
    }
    if (one.hour !== hour) {
      one.hour = hour
      users.seen(identity.user, receivedAt)
    }
    return one.kind
  }

  return {
    received: () => {
      inFlight++
    },
    completed: (request) => {
      inFlight--
      const route = request.route ?? "unmatched"
      const method = methods.has(request.method) ? request.method : "other"
      const { duration, requestSize, responseSize, total, uses } = series(route)(method)(request.status)
      total(1)
      if (request.durationMillis !== undefined && request.held === undefined) duration(request.durationMillis / 1000)
      requestSize(request.requestBytes)
      responseSize(request.responseBytes)
      if (uses !== undefined) uses(seen(request))(1)
    }
  }
})
