/** Decodes responses of the Kubernetes API. Failures become a `KubeError`. */
import { Array, Cause, Duration, Effect, Pull, Result, Stream } from "effect"
import type { HttpClientError, HttpClientResponse } from "effect/http"
import type { KubeConfigError } from "./KubeConfig.ts"
import { KubeDecodeError, type KubeError, KubeStatusError, KubeUnreachable } from "./KubeErrors.ts"
import { codecFor } from "./wire/ContentType.ts"
import type {
  KubeListPage,
  PageReader,
  Progress,
  Status,
  WatchEvent,
  WatchFailure,
  WatchReader
} from "./wire/KubeCodec.ts"
import type { Decoded } from "./wire/ResourceKind.ts"

/** The error of a request without a response. */
export const unreachable = (operation: string) => (error: HttpClientError.HttpClientError | KubeConfigError) => {
  const cause = error._tag === "HttpClientError" ? error.reason.cause : undefined
  return new KubeUnreachable({ operation, message: cause instanceof Error ? cause.message : error.message })
}

/** The decoded value; fails with `KubeDecodeError` otherwise. */
export const decoded =
  (operation: string) =>
  <A>(result: Decoded<A>): Effect.Effect<A, KubeDecodeError> =>
    Effect.fromResult(Result.mapError(result, (message) => new KubeDecodeError({ operation, message })))

const seconds = (text: string | undefined): number | undefined =>
  text !== undefined && /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined

const statusError = (
  operation: string,
  status: Status,
  from: { readonly code: number; readonly retryAfter?: string | undefined; readonly inStream: boolean }
) => {
  const retryAfter = seconds(from.retryAfter) ?? status.details?.retryAfterSeconds ?? undefined
  return new KubeStatusError({
    operation,
    code: from.code,
    reason: status.reason ?? "",
    message: status.message ?? "",
    causes: (status.details?.causes ?? []).flatMap((cause) => cause.reason ?? []),
    retryAfter: retryAfter === undefined ? undefined : Duration.seconds(retryAfter),
    inStream: from.inStream
  })
}

/** The response if its status is 2xx; fails with `KubeStatusError` otherwise. */
export const accepted = Effect.fnUntraced(function* (
  operation: string,
  response: HttpClientResponse.HttpClientResponse
): Effect.fn.Return<HttpClientResponse.HttpClientResponse, KubeError> {
  if (response.status >= 200 && response.status < 300) return response
  const body = yield* Effect.mapError(response.arrayBuffer, unreachable(operation))
  // A proxy or an overloaded server may respond without a Status.
  const status = Result.getOrElse(codecFor(response.headers).status(new Uint8Array(body)), (): Status => ({}))
  return yield* statusError(operation, status, {
    code: response.status,
    retryAfter: response.headers["retry-after"],
    inStream: false
  })
})

/** Decodes a page as its bytes arrive. */
export const readPage = <A>(
  operation: string,
  page: PageReader<A>,
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<KubeListPage<A>, KubeError> =>
  Stream.runForEach(response.stream, (chunk) => {
    const failure = page.push(chunk)
    return failure === undefined ? Effect.void : Effect.fail(new KubeDecodeError({ operation, message: failure }))
  }).pipe(
    Effect.catchTag("HttpClientError", (error) => Effect.fail(unreachable(operation)(error))),
    Effect.andThen(Effect.suspend(() => decoded(operation)(page.end())))
  )

/** Decodes the events of a watch as its bytes arrive. Emits the events of each chunk together. */
export const readWatch = <A>(
  operation: string,
  watch: WatchReader<A>,
  response: HttpClientResponse.HttpClientResponse
): Stream.Stream<WatchEvent<A>, KubeError> => {
  const errorOf = (failure: WatchFailure): KubeError =>
    typeof failure === "string"
      ? new KubeDecodeError({ operation, message: failure })
      : statusError(operation, failure, { code: failure.code ?? 500, inStream: true })
  type Pulled = Pull.Pull<Array.NonEmptyReadonlyArray<WatchEvent<A>>, KubeError>
  return Stream.transformPull(response.stream, (pull) =>
    Effect.sync(() => {
      // The end or the failure, emitted after the events before it.
      let last: Pulled | undefined
      const emit = (steps: ReadonlyArray<Progress<WatchEvent<A>, WatchFailure>>): Pulled => {
        const failure = steps.at(-1)?.failure
        if (failure !== undefined) last = Effect.fail(errorOf(failure))
        const events = steps.length === 1 ? (steps[0]?.complete ?? []) : steps.flatMap(({ complete }) => complete)
        return Array.isReadonlyArrayNonEmpty(events) ? Effect.succeed(events) : next
      }
      const push = (chunks: ReadonlyArray<Uint8Array>) => {
        const steps: Array<Progress<WatchEvent<A>, WatchFailure>> = []
        for (const chunk of chunks) {
          const step = watch.push(chunk)
          steps.push(step)
          if (step.failure !== undefined) break
        }
        return emit(steps)
      }
      const next: Pulled = Effect.suspend(
        () =>
          last ??
          pull.pipe(
            Effect.mapError((error) => (Cause.isDone(error) ? error : unreachable(operation)(error))),
            Effect.flatMap(push),
            Pull.catchDone(() => {
              last = Cause.done()
              return emit([watch.end()])
            })
          )
      )
      return next
    })
  )
}
