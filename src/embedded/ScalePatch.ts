/**
 * JSON Patches (RFC 6902) of a Scale. As in kube-apiserver, a patch is applied to the JSON of the Scale, where a count of
 * 0 is absent: a `test` with the value null holds for an absent member, and `replace` and `remove` of one fail.
 */
import { Effect, JsonPatch, JsonPointer, Result, Schema } from "effect"
import { isDeepStrictEqual } from "node:util"
import type { StoredDeployment } from "./ClusterStore.ts"
import { scaleJson } from "./KubeObjects.ts"
import { type KubeStatus, statusOf } from "./KubeStatus.ts"
import { decodeScaleWrite, type ScaleWrite } from "./RequestBody.ts"

/** The media type of a JSON Patch. */
export const jsonPatchType = "application/json-patch+json"

const mostOperations = 10_000

const Operation = Schema.Struct({
  op: Schema.optionalKey(Schema.String),
  path: Schema.optionalKey(Schema.String),
  from: Schema.optionalKey(Schema.String),
  value: Schema.optionalKey(Schema.Json)
})
type Operation = typeof Operation.Type

const decodePatch = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Array(Operation)))
const decodeDocument = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Json))

/** The Status of a patch that cannot be applied. As in kube-apiserver, it does not name the reason. */
const inapplicable = statusOf(422, "the server rejected our request due to an error in our request", {})

const isObject = Schema.is(Schema.Record(Schema.String, Schema.Json))

/** The value at a pointer; undefined if the member is absent. Fails if its parent is not an object. */
const valueAt = (document: Schema.Json, pointer: string): Result.Result<Schema.Json | undefined, void> => {
  if (pointer === "") return Result.succeed(document)
  if (!pointer.startsWith("/")) return Result.failVoid
  let value: Schema.Json | undefined = document
  for (const token of pointer.slice(1).split("/")) {
    if (value === undefined || !isObject(value)) return Result.failVoid
    const name = JsonPointer.unescapeToken(token)
    value = Object.hasOwn(value, name) ? value[name] : undefined
  }
  return Result.succeed(value)
}

const applied = (document: Schema.Json, operation: JsonPatch.JsonPatchOperation): Result.Result<Schema.Json, void> =>
  Result.mapError(
    Result.try(() => JsonPatch.apply([operation], document)),
    () => undefined
  )

const applyOne = (
  document: Schema.Json,
  { from, op, path, value = null }: Operation
): Result.Result<Schema.Json, void> => {
  if (path === undefined) return Result.failVoid
  switch (op) {
    case "test":
      return Result.flatMap(valueAt(document, path), (current = null) =>
        isDeepStrictEqual(current, value) ? Result.succeed(document) : Result.failVoid
      )
    case "add":
    case "replace":
      return applied(document, { op, path, value })
    case "remove":
      return applied(document, { op, path })
    case "copy":
    case "move":
      return from === undefined
        ? Result.failVoid
        : Result.flatMap(valueAt(document, from), (source) => {
            if (source === undefined) return Result.failVoid
            const rest = op === "copy" ? Result.succeed(document) : applied(document, { op: "remove", path: from })
            return Result.flatMap(rest, (without) => applied(without, { op: "add", path, value: source }))
          })
    default:
      return Result.failVoid
  }
}

/**
 * Applies a JSON Patch to the Scale of a deployment. Fails with 400 for a body that is no patch, with 413 for too many
 * operations, and with 422 for a failed `test`, an unknown operation or path, or a result that is no Scale.
 */
export const decodeScalePatch = Effect.fnUntraced(function* (
  existing: StoredDeployment,
  body: string
): Effect.fn.Return<ScaleWrite, KubeStatus> {
  const patch = yield* decodePatch(body).pipe(
    Effect.mapError((error) => statusOf(400, `error decoding patch: ${error.message}`))
  )
  if (patch.length > mostOperations) {
    return yield* statusOf(
      413,
      `The allowed maximum operations in a JSON patch is ${mostOperations}, got ${patch.length}`
    )
  }
  let document = yield* Effect.orDie(decodeDocument(scaleJson(existing)))
  for (const operation of patch) {
    document = yield* Effect.mapError(Effect.fromResult(applyOne(document, operation)), () => inapplicable)
  }
  const write = yield* Effect.mapError(decodeScaleWrite(existing.name, JSON.stringify(document)), (status) =>
    status.code === 400 ? statusOf(422, ` "" is invalid: patch: Invalid value: ${status.message}`, {}) : status
  )
  return { ...write, replicas: write.replicas ?? 0 }
})
