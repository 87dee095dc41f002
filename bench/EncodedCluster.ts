/**
 * A cluster of `DEPLOYMENTS` realistic deployments, `EACH` per namespace, served from pre-encoded bytes. It supports only
 * paged lists, streaming lists and watches of namespaces and deployments, in the encoding that `Accept` requests. It prints
 * its URL and that of its control server.
 *
 * `POST /?perSecond=N&seconds=N&from=N` to the control server changes deployments at that rate. A change sets the count to
 * the microseconds since `from` on the machine's monotonic clock, so that a reader knows its age. About 50 changes a second
 * go to the probe, deployment-00000 of load-00000. The response has the number of changes, the times of the probe's changes,
 * and the number of bytes sent in lists and watches since the start.
 */
import { Config, Effect } from "effect"
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http"
import type { ContentType } from "../src/kube/wire/ContentType.ts"
import type { WatchedResource } from "../src/model/ClusterEvent.ts"
import { type EncodedObject, type Frame, type Frames, makeFrames, maxFrameBytes } from "./EncodedObjects.ts"
import { monotonicMicros } from "./MonotonicClock.ts"
import { paced } from "./Pace.ts"

const bufferBytes = 262_144

/** The version of the cluster before its first change; objects have lower ones. */
const firstVersion = 2_000_000_000

const paths: Readonly<Record<string, WatchedResource>> = {
  "/api/v1/namespaces": "namespaces",
  "/apis/apps/v1/deployments": "deployments"
}

const encodings = (resource: WatchedResource): Readonly<Record<ContentType, Frames>> => ({
  json: makeFrames(resource, "json"),
  protobuf: makeFrames(resource, "protobuf")
})

const encoded = { namespaces: encodings("namespaces"), deployments: encodings("deployments") }

/** The objects of a resource, and its changes. Each change increments the version. */
interface Collection {
  readonly size: number
  readonly object: (index: number) => EncodedObject
  readonly changes: Array<EncodedObject>
  readonly wake: Set<() => void>
}

const makeCollection = (
  size: number,
  refOf: (index: number) => { readonly namespace: number; readonly name: number }
) => {
  const changed = new Map<number, EncodedObject>()
  const original = (index: number): EncodedObject => ({
    ...refOf(index),
    uid: index,
    version: firstVersion / 2 + index,
    replicas: 1 + (index % 10)
  })
  const collection: Collection = {
    size,
    object: (index) => changed.get(index) ?? original(index),
    changes: [],
    wake: new Set()
  }
  const change = (index: number, replicas: number): void => {
    const version = firstVersion + collection.changes.length + 1
    const object = { ...original(index), version, replicas }
    changed.set(index, object)
    collection.changes.push(object)
    for (const wake of collection.wake) wake()
  }
  return { collection, change }
}

const versionOf = ({ changes }: Collection): number => firstVersion + changes.length

function* listed(frames: Frames, collection: Collection, from: number, limit: number): Generator<Frame> {
  const end = Math.min(collection.size, from + limit)
  const token = end < collection.size ? String(end) : ""
  yield frames.opening({ items: end - from, version: versionOf(collection), token })
  for (let index = from; index < end; index++) yield frames.item(collection.object(index), index === from)
  yield frames.closing
}

/** Yields undefined while there is nothing to send. */
function* watched(frames: Frames, collection: Collection, from: number | undefined): Generator<Frame | undefined> {
  let sent = Math.max(0, (from ?? versionOf(collection)) - firstVersion)
  if (from === undefined) {
    for (let index = 0; index < collection.size; index++) yield frames.event("ADDED", collection.object(index))
    yield frames.bookmark(firstVersion + sent)
  }
  for (;;) {
    const change = collection.changes[sent]
    if (change !== undefined) sent++
    yield change === undefined ? undefined : frames.event("MODIFIED", change)
  }
}

/**
 * Writes frames in large chunks, each after the previous one was flushed. Returns a function to call when there may be new
 * frames.
 */
const send = (response: ServerResponse, frames: Iterator<Frame | undefined>, sent: (bytes: number) => void) => {
  const buffer = Buffer.allocUnsafeSlow(bufferBytes)
  let idle = true
  const next = (): void => {
    let at = 0
    let ended = false
    while (at + maxFrameBytes <= bufferBytes) {
      const { done, value } = frames.next()
      ended = done === true
      if (ended || value === undefined) break
      at = value(buffer, at)
    }
    idle = at === 0
    sent(at)
    if (ended) response.end(buffer.subarray(0, at))
    else if (!idle) response.write(buffer.subarray(0, at), (error) => (error ? undefined : next()))
  }
  return () => {
    if (!idle) return
    idle = false
    // After the other changes of the same tick.
    queueMicrotask(next)
  }
}

/** Answers a list or a watch. */
const answer = (
  { request, response }: { readonly request: IncomingMessage; readonly response: ServerResponse },
  collections: Readonly<Record<WatchedResource, Collection>>,
  contentType: ContentType,
  count: (bytes: number) => void
): void => {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://cluster")
  const resource = paths[pathname]
  if (resource === undefined) return void response.writeHead(404).end()
  const collection = collections[resource]
  const frames = encoded[resource][contentType]
  const isWatch = searchParams.get("watch") === "true"
  const type = contentType === "json" ? "application/json" : "application/vnd.kubernetes.protobuf"
  response.writeHead(200, { "content-type": isWatch && contentType === "protobuf" ? `${type};stream=watch` : type })
  if (!isWatch) {
    const limit = Number(searchParams.get("limit") ?? collection.size)
    return send(response, listed(frames, collection, Number(searchParams.get("continue")), limit), count)()
  }
  response.flushHeaders()
  const from =
    searchParams.get("sendInitialEvents") === "true" ? undefined : Number(searchParams.get("resourceVersion"))
  const wake = send(response, watched(frames, collection, from), count)
  collection.wake.add(wake)
  response.once("close", () => collection.wake.delete(wake))
  wake()
}

/** Makes changes. Succeeds with their number and the times of the probe's changes. */
const makeChanges = Effect.fnUntraced(function* (
  change: (index: number, replicas: number) => void,
  size: number,
  query: URLSearchParams
) {
  const [perSecond = 1, seconds = 0, from = 0] = ["perSecond", "seconds", "from"].map((name) => Number(query.get(name)))
  const everyNth = Math.max(1, Math.round(perSecond / 50))
  const probed: Array<number> = []
  let count = 0
  yield* paced({ perSecond, seconds, spin: false }, () => {
    const at = monotonicMicros() - from
    const index = count++
    if (index % everyNth === 0) probed.push(at)
    change(index % everyNth === 0 ? 0 : 1 + (index % (size - 1)), at)
  })
  return { count, probed }
})

/** Serves on a free port of loopback. Succeeds with the URL. */
const listening = (listener: RequestListener) =>
  Effect.callback<string>((resume) => {
    const server = createServer(listener).listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = address === null || typeof address === "string" ? 0 : address.port
      resume(Effect.succeed(`http://127.0.0.1:${port}`))
    })
  })

const main = Effect.gen(function* () {
  const size = yield* Config.Int("DEPLOYMENTS")
  const each = yield* Config.Int("EACH")
  const { change, collection: deployments } = makeCollection(size, (index) => ({
    namespace: Math.floor(index / each),
    name: index % each
  }))
  const { collection: namespaces } = makeCollection(Math.ceil(size / each), (namespace) => ({ namespace, name: 0 }))
  let bytes = 0
  const count = (sent: number) => (bytes += sent)
  const url = yield* listening((request, response) => {
    const contentType = request.headers.accept?.includes("protobuf") === true ? "protobuf" : "json"
    answer({ request, response }, { namespaces, deployments }, contentType, count)
  })
  const control = yield* listening((request, response) => {
    const query = new URL(request.url ?? "/", "http://cluster").searchParams
    void Effect.runPromise(
      Effect.map(makeChanges(change, size, query), (made) => response.end(JSON.stringify({ ...made, bytes })))
    )
  })
  process.stdout.write(`${JSON.stringify({ url, control })}\n`)
  return yield* Effect.never
})

await Effect.runPromise(main)
