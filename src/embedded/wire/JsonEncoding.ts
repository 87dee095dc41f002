/** Encodes lists, watches and errors in JSON. A watch event is a line. */
import { initialEventsEnd } from "../../kube/wire/KubeCodec.ts"
import { maxEventBytes } from "../../kube/wire/WatchLines.ts"
import type { WatchedResource } from "../../model/ClusterEvent.ts"
import type { ChangeType, StoredObject } from "../ClusterStore.ts"
import { apiVersionOf, kindOf, objectJson } from "../KubeObjects.ts"
import { type KubeStatus, statusJson } from "../KubeStatus.ts"
import { chunkSize, type EventEncoding, type ListFrame, type ObjectEncoding } from "./ObjectEncoding.ts"

const typeMeta = (resource: WatchedResource, list: "" | "List"): string =>
  `"kind":"${kindOf(resource)}${list}","apiVersion":"${apiVersionOf(resource)}"`

function* list(frame: ListFrame, items: ReadonlyArray<StoredObject>, start: number, end: number): Generator<string> {
  const metadata =
    `{"resourceVersion":"${frame.resourceVersion}"` +
    (frame.continueToken === undefined ? "" : `,"continue":${JSON.stringify(frame.continueToken)}`) +
    (frame.remainingItemCount === undefined ? "" : `,"remainingItemCount":${frame.remainingItemCount}`) +
    "}"
  const opening = `{${typeMeta(frame.resource, "List")},"metadata":${metadata}`
  if (start >= end && frame.emptyItems !== "array") {
    yield `${opening}${frame.emptyItems === "null" ? `,"items":null` : ""}}`
    return
  }
  let chunk = `${opening},"items":[`
  for (let index = start; index < end; index += 1) {
    const object = items[index]
    if (object === undefined) continue
    chunk += (index === start ? "" : ",") + objectJson(object, frame.bareItems)
    if (chunk.length >= chunkSize) {
      yield chunk
      chunk = ""
    }
  }
  yield `${chunk}]}`
}

const changeLine = (type: ChangeType, object: StoredObject, bare: boolean): string =>
  `{"type":"${type}","object":${objectJson(object, bare)}}\n`

const bookmarkLine = (resource: WatchedResource, resourceVersion: number, endsInitialEvents: boolean): string =>
  `{"type":"BOOKMARK","object":{${typeMeta(resource, "")},"metadata":{"resourceVersion":"${resourceVersion}"` +
  `${endsInitialEvents ? `,"annotations":{"${initialEventsEnd}":"true"}` : ""}}}}\n`

const errorLine = (status: KubeStatus): string => `{"type":"ERROR","object":${statusJson(status)}}\n`

/** Maps, whose members are data: an added one would change the object. */
const maps = new Set(["labels", "annotations", "matchLabels", "fieldsV1"])

const unknown = { name: "unknown", nested: [{ metadata: null }, "}\n", -1] }

const withUnknownMembers = (line: string): string =>
  `${JSON.stringify(
    JSON.parse(line, (key, value: unknown) =>
      typeof value === "object" && value !== null && !Array.isArray(value) && !maps.has(key)
        ? { unknownBefore: unknown, ...value, unknownAfter: unknown }
        : value
    )
  )}\n`

const eventsWithUnknownFields: EventEncoding = {
  change: (...change) => withUnknownMembers(changeLine(...change)),
  bookmark: (...bookmark) => withUnknownMembers(bookmarkLine(...bookmark)),
  error: (status) => withUnknownMembers(errorLine(status))
}

function* oversizedLine(): Generator<string> {
  yield `{"type":"MODIFIED","object":{"metadata":{"name":"`
  const part = "x".repeat(chunkSize)
  for (let size = 0; size <= maxEventBytes; size += part.length) yield part
}

/** The JSON encoding. */
export const json: ObjectEncoding = {
  contentType: "application/json",
  watchContentType: "application/json",
  status: statusJson,
  list,
  events: { change: changeLine, bookmark: bookmarkLine, error: errorLine },
  eventsWithUnknownFields,
  malformed: {
    garbage: () => ["}this is no JSON{\n"],
    oversized: oversizedLine,
    wrongMagic: () => [`{"type":"MODIFIED","object":7}\n`],
    emptyObject: () => [`{"type":"ADDED","object":{}}\n`]
  }
}
