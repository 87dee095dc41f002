import { Clock, Effect, Exit, Metric } from "effect"
import type { KubeError } from "./KubeErrors.ts"

/** The kinds of requests to the cluster. */
export type KubeVerb = "list" | "watch" | "get" | "scale" | "review" | "event"

const requests = (verb: KubeVerb, code: string) =>
  Metric.counter("kube_requests_total", {
    description: "Requests to the cluster, by kind and HTTP status; unreachable: no response.",
    incremental: true,
    attributes: { verb, code }
  })

const duration = (verb: KubeVerb) =>
  Metric.histogram("kube_request_duration_seconds", {
    description: "Time from a request to the cluster to the head of its response.",
    boundaries: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    attributes: { verb }
  })

const codeOf = (error: KubeError | undefined): string =>
  error?._tag === "KubeStatusError" ? String(error.code) : "unreachable"

/** Counts and times a request to the cluster. */
export const measured =
  (verb: KubeVerb) =>
  <A extends { readonly status: number }, R>(request: Effect.Effect<A, KubeError, R>): Effect.Effect<A, KubeError, R> =>
    Effect.flatMap(Clock.currentTimeNanos, (start) =>
      Effect.onExit(request, (exit) =>
        Effect.flatMap(Clock.currentTimeNanos, (end) => {
          const code = Exit.isSuccess(exit)
            ? String(exit.value.status)
            : codeOf(exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error)
          return Effect.andThen(
            Metric.update(requests(verb, code), 1),
            Metric.update(duration(verb), Number(end - start) / 1e9)
          )
        })
      )
    )
