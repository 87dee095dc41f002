/**
 * Metrics of requests. Every label is of a bounded set: path templates, known methods, statuses, kinds of users; never a
 * name that a client sent. Each series is looked up once and then held, so that a request costs increments.
 */
import { Clock, type Context, Effect, Metric, type Scope } from "effect"
import type { CompletedRequest, RequestObserver } from "./RequestObserver.ts"
import type { Identity } from "../identity/Identity.ts"
import * as DistinctUsers from "./DistinctUsers.ts"
import * as HeldMetric from "./HeldMetric.ts"
import { memoized } from "./Memoized.ts"
import * as ObservedMetric from "./ObservedMetric.ts"

const methods = new Set(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "CONNECT"])

const durationBoundaries = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
const sizeBoundaries = [128, 512, 2048, 8192, 32_768, 131_072, 524_288, 2_097_152, 8_388_608]

/** What sort of user asks. */
export type UserKind = "person" | "service-account" | "system" | "workload" | "unidentified"

/**
 * A certificate with a SPIFFE id is a workload's. Kubernetes' own prefixes tell service accounts and the parts of the
 * cluster (`system:node:...`); everybody else with a certificate counts as a person.
 */
export const userKind = (identity: Identity | undefined): UserKind => {
  if (identity === undefined) return "unidentified"
  if (identity.user.startsWith("system:serviceaccount:")) return "service-account"
  if (identity.user.startsWith("system:")) return "system"
  return identity.spiffeIds.length > 0 ? "workload" : "person"
}

const requestSeries = (route: string, method: string, status: number) => ({
  total: Metric.counter("http_requests_total", {
    description: "Requests, by endpoint, method and status; 499: the client went away before its answer.",
    incremental: true,
    attributes: { route, method, code: String(status) }
  }),
  duration: Metric.histogram("http_request_duration_seconds", {
    description: "From a request's headers to its answer, by endpoint, method and class of status.",
    boundaries: durationBoundaries,
    attributes: { route, method, code: `${Math.floor(status / 100)}xx` }
  })
})

const sizeSeries = (route: string) => ({
  requestSize: Metric.histogram("http_request_size_bytes", {
    description: "Size of a request's target and header block.",
    boundaries: sizeBoundaries,
    attributes: { route }
  }),
  responseSize: Metric.histogram("http_response_size_bytes", {
    description: "Size of a response's body.",
    boundaries: sizeBoundaries,
    attributes: { route }
  })
})

const useSeries = (kind: UserKind, access: "read" | "write") =>
  Metric.counter("requests_by_user_kind_total", {
    description:
      "Requests for namespaces, deployments and replica counts, by the kind of user and whether they read or write.",
    incremental: true,
    attributes: { user_kind: kind, access }
  })

const isUse = (route: string): boolean => route.startsWith("/namespaces")

/** What counts a request to the endpoint, with the method and the status, in each of its series. */
const counting = (route: string, method: string, status: number, context: Context.Context<never>) => {
  const held = <Input, State>(metric: Metric.Metric<Input, State>) => HeldMetric.updater(metric, context)
  const { duration, total } = requestSeries(route, method, status)
  const { requestSize, responseSize } = sizeSeries(route)
  // Where no request arrives whole, none is timed, and there is no such series.
  let timed: ((seconds: number) => void) | undefined
  return {
    total: held(total),
    duration: (seconds: number) => (timed ??= held(duration))(seconds),
    requestSize: held(requestSize),
    responseSize: held(responseSize),
    uses: isUse(route)
      ? memoized((kind: UserKind) => held(useSeries(kind, method === "PUT" ? "write" : "read")))
      : undefined
  }
}

/** What is kept of an identity, which lives as long as its connection: its kind, and the hour it was last counted in. */
interface Known {
  readonly kind: UserKind
  hour: number
}

/** The observer that counts into the metric registry of the effect's context. */
export const make: Effect.Effect<RequestObserver, never, Scope.Scope> = Effect.gen(function* () {
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const users = DistinctUsers.make()
  const known = new WeakMap<Identity, Known>()
  let inFlight = 0

  const series = memoized((route: string) =>
    memoized((method: string) => memoized((status: number) => counting(route, method, status, context)))
  )

  yield* ObservedMetric.gauge(
    { name: "http_requests_in_flight", description: "Requests that are being answered." },
    () => inFlight
  )
  for (const [window, pastHours] of [
    ["1h", 1],
    ["1d", 23]
  ] as const) {
    yield* ObservedMetric.gauge(
      {
        name: "distinct_users",
        description: `Users that this instance has seen within the window, to the hour; ${DistinctUsers.maxUsers} means at least as many.`,
        attributes: { window }
      },
      () => users.count(pastHours, clock.currentTimeMillisUnsafe())
    )
  }

  /** The caller's kind; the caller is counted, once an hour for each of its connections. */
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
      if (request.durationMillis !== undefined) duration(request.durationMillis / 1000)
      requestSize(request.requestBytes)
      responseSize(request.responseBytes)
      if (uses !== undefined) uses(seen(request))(1)
    }
  }
})
