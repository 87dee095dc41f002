import { Effect } from "effect"
import type { KubeStatus } from "./KubeStatus.ts"
import { statusOf } from "./KubeStatus.ts"

const decimal = /^(?:0|[1-9][0-9]{0,15})$/

/** A query's number; absent or empty counts as none. Fails with 400 for anything but a decimal number. */
export const numberIn = (query: URLSearchParams, name: string): Effect.Effect<number | undefined, KubeStatus> => {
  const text = query.get(name)
  if (text === null || text === "") return Effect.succeed(undefined)
  return decimal.test(text)
    ? Effect.succeed(Number(text))
    : Effect.fail(statusOf(400, `invalid value for ${name}: ${JSON.stringify(text)}`))
}

/** A query's switch; absent counts as none. As in Go's conversion, all but `0` and `false` mean yes. */
export const flagIn = (query: URLSearchParams, name: string): boolean | undefined => {
  const text = query.get(name)?.toLowerCase()
  return text === undefined ? undefined : text !== "0" && text !== "false"
}

/** The 422 of list options that do not go together. */
export const invalidOptions = (field: string, message: string): KubeStatus =>
  statusOf(422, `ListOptions.meta.k8s.io "" is invalid: ${field}: Forbidden: ${message}`, {
    group: "meta.k8s.io",
    kind: "ListOptions",
    causes: [{ reason: "FieldValueForbidden", message: `Forbidden: ${message}`, field }]
  })

/** Selectors are not served; to ignore one would answer another question than was asked. */
export const refuseSelectors = (query: URLSearchParams): Effect.Effect<void, KubeStatus> =>
  (query.get("labelSelector") ?? "") !== "" || (query.get("fieldSelector") ?? "") !== ""
    ? Effect.fail(statusOf(400, "selectors are not supported by the embedded cluster"))
    : Effect.void
