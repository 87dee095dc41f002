/** Lists, watches and errors in JSON. A watch event is a line. */
import { initialEventsEnd } from "../../kube/wire/KubeCodec.ts"
import type { WatchedResource } from "../../model/ClusterEvent.ts"
import type { StoredObject } from "../ClusterStore.ts"
import { apiVersionOf, kindOf, objectJson } from "../KubeObjects.ts"
import { statusJson } from "../KubeStatus.ts"
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

const events: EventEncoding = {
  change: (type, object, bare) => `{"type":"${type}","object":${objectJson(object, bare)}}\n`,
  bookmark: (resource, resourceVersion, endsInitialEvents) =>
    `{"type":"BOOKMARK","object":{${typeMeta(resource, "")},"metadata":{"resourceVersion":"${resourceVersion}"` +
    `${endsInitialEvents ? `,"annotations":{"${initialEventsEnd}":"true"}` : ""}}}}\n`,
  error: (status) => `{"type":"ERROR","object":${statusJson(status)}}\n`
}

/** The JSON encoding. */
export const json: ObjectEncoding = {
  contentType: "application/json",
  watchContentType: "application/json",
  status: statusJson,
  list,
  events
}
