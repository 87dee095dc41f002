/** Content negotiation with the API server, for lists, watches and their errors. */
import type { Headers } from "effect/http"
import { json } from "./JsonCodec.ts"
import type { KubeCodec } from "./KubeCodec.ts"
import { protobuf } from "./ProtobufCodec.ts"

/** The encoding to request. */
export type ContentType = "protobuf" | "json"

const jsonType = "application/json"
const protobufType = "application/vnd.kubernetes.protobuf"

/** The `Accept` header of a list. */
export const acceptList = (contentType: ContentType): string =>
  contentType === "json" ? jsonType : `${protobufType},${jsonType}`

/** The `Accept` header of a watch. */
export const acceptWatch = (contentType: ContentType): string =>
  contentType === "json" ? jsonType : `${protobufType};stream=watch,${jsonType}`

/** The codec of a response. A server or proxy may answer in JSON although protobuf was requested, or name no type. */
export const codecFor = (headers: Headers.Headers): KubeCodec =>
  headers["content-type"]?.split(";")[0]?.trim().toLowerCase() === protobufType ? protobuf : json
