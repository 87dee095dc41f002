import { Context, Effect, Metric, type Scope } from "effect"
import { NotReady } from "../contract/Problems.ts"
import * as Metrics from "../observability/Metrics.ts"

const refusedSeries = Metric.counter("response_bytes_refused_total", {
  description:
    "Reads refused with 503 because too many bytes of large responses were being sent, to the user or in all.",
  incremental: true
})

/** A user may take half of the bytes, so that one that reads slowly leaves bytes to others. */
const userPart = 2

/** A response: emits `close` when it has been sent, or when its connection has ended. */
export interface Closing {
  readonly once: (event: "close", listener: () => void) => unknown
}

/**
 * Limits the bytes of large responses that are being sent. A client that does not read holds its response in this process and
 * in the kernel, so a limit on requests alone does not bound the memory.
 *
 * `reserve` counts a body until the returned function is called. It returns `undefined` if the limit is reached. A body larger
 * than the limit may be sent alone. `take` counts a body until its response has been sent or its connection has ended, and
 * returns whether there was room. `refuse` counts a refused request and gives its error.
 */
export class ResponseBytes extends Context.Service<
  ResponseBytes,
  {
    readonly reserve: (user: string, bytes: number) => (() => void) | undefined
    readonly take: (response: Closing, user: string, bytes: number) => boolean
    readonly refuse: () => NotReady
  }
>()("kube-resource-api/limits/ResponseBytes") {}

const refusal = new NotReady({ detail: "Too many bytes of large responses are being sent." })

/** Limits the bytes of all users to `maximum`, and those of one user to half of it. */
export const make = Effect.fnUntraced(function* (
  maximum: number
): Effect.fn.Return<ResponseBytes["Service"], never, Scope.Scope> {
  const services = yield* Effect.context<never>()
  const users = new Map<string, number>()
  let sending = 0
  refusedSeries.updateUnsafe(0, services)
  yield* Metrics.gauge(
    {
      name: "response_bytes_in_flight",
      description: "Bytes of large responses that are being sent, of MAX_RESPONSE_BYTES."
    },
    () => sending
  )
  const add = (user: string, bytes: number) => {
    sending += bytes
    const ofUser = (users.get(user) ?? 0) + bytes
    if (ofUser === 0) users.delete(user)
    else users.set(user, ofUser)
  }
  const reserve = (user: string, bytes: number) => {
    const ofUser = users.get(user) ?? 0
    if ((ofUser > 0 && ofUser + bytes > maximum / userPart) || (sending > 0 && sending + bytes > maximum)) {
      return undefined
    }
    add(user, bytes)
    return () => add(user, -bytes)
  }
  return {
    reserve,
    take: (response, user, bytes) => {
      const release = reserve(user, bytes)
      if (release !== undefined) response.once("close", release)
      return release !== undefined
    },
    refuse: () => {
      refusedSeries.updateUnsafe(1, services)
      return refusal
    }
  }
})
