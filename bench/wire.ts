/**
 * The cost of lists and watches in JSON and in Kubernetes protobuf: CPU and bytes per listed object and per event. CPU is
 * measured for decoding alone and for the whole service. An object has 16 kB of JSON.
 */
import { Effect } from "effect"
import type { ContentType } from "../src/kube/wire/ContentType.ts"
import { json } from "../src/kube/wire/JsonCodec.ts"
import { protobuf } from "../src/kube/wire/ProtobufCodec.ts"
import { deployments } from "../src/kube/wire/ResourceKind.ts"
import { type EncodedObject, type Frame, makeFrames, maxFrameBytes } from "./EncodedObjects.ts"
import { monotonicMicros } from "./MonotonicClock.ts"
import {
  bytesSent,
  changeDeployments,
  type EncodedCluster,
  serviceSettings,
  startEncodedCluster,
  startSyncing
} from "./Programs.ts"
import { cpuMicros } from "./ProcessUsage.ts"
import { isQuick, print, result, table, title } from "./Report.ts"
import { figures, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

const contenders: ReadonlyArray<ContentType> = ["protobuf", "json"]
const codecs = { json, protobuf }

// The page size of the informer.
const pageSize = 500

const chunkBytes = 65_536

/** The frames in chunks, as a socket delivers them. */
const chunksOf = (frames: ReadonlyArray<Frame>): ReadonlyArray<Buffer> => {
  const buffer = Buffer.allocUnsafe(frames.length * maxFrameBytes)
  const end = frames.reduce((at, frame) => frame(buffer, at), 0)
  return Array.from({ length: Math.ceil(end / chunkBytes) }, (_, index) =>
    buffer.subarray(index * chunkBytes, Math.min(end, (index + 1) * chunkBytes))
  )
}

/** A page and the events of a watch, in chunks. */
const encoded = (contentType: ContentType) => {
  const frames = makeFrames("deployments", contentType)
  const objects = Array.from({ length: pageSize }, (_, index): EncodedObject => ({
    namespace: Math.floor(index / 100),
    name: index % 100,
    uid: index,
    version: 1_000_000_000 + index,
    replicas: index % 10
  }))
  return {
    codec: codecs[contentType],
    page: chunksOf([
      frames.opening({ items: pageSize, version: 2_000_000_000, token: "" }),
      ...objects.map((object, index) => frames.item(object, index === 0)),
      frames.closing
    ]),
    events: chunksOf(objects.map((object) => frames.event("MODIFIED", object)))
  }
}

type Encoded = ReturnType<typeof encoded>

const decodePage = ({ codec, page }: Encoded): number => {
  const reader = codec.page(deployments)
  for (const chunk of page) reader.push(chunk)
  const read = reader.end()
  return read._tag === "Success" ? read.success.items.length : 0
}

const decodeEvents = ({ codec, events }: Encoded): number => {
  const reader = codec.watch(deployments)
  return events.reduce((sum, chunk) => sum + reader.push(chunk).complete.length, 0)
}

/** CPU microseconds of this process per object that `decode` reads. */
const microsOf = (decode: () => number, repeats: number) =>
  Effect.suspend(() => {
    const before = process.cpuUsage()
    let count = 0
    for (let repeat = 0; repeat < repeats; repeat++) count += decode()
    const { system, user } = process.cpuUsage(before)
    return count === repeats * pageSize
      ? Effect.succeed((system + user) / count)
      : Effect.die(new Error(`decoded ${count} objects of ${repeats * pageSize}`))
  })

const decoding = Effect.fnUntraced(function* (quick: boolean) {
  const once = (contender: { readonly contentType: ContentType; readonly encoded: Encoded }) =>
    Effect.all({
      list: microsOf(() => decodePage(contender.encoded), quick ? 2 : 20),
      event: microsOf(() => decodeEvents(contender.encoded), quick ? 2 : 20)
    })
  const sources = contenders.map((contentType) => ({ contentType, encoded: encoded(contentType) }))
  // Warms the compiler.
  yield* Effect.forEach(sources, once)
  const turns = yield* takeTurns(sources, quick ? 2 : 9, once)
  yield* print(
    `Decoding alone, from chunks of 64 kB: CPU µs, ${turns[0]?.results.length} rounds of ${pageSize} objects\n`
  )
  yield* table(
    ["encoding", "listed object", "event"],
    turns.map(({ contender, results }) => [
      contender.contentType,
      spread(figures(results, "list")),
      spread(figures(results, "event"))
    ])
  )
  const [ours = [], theirs = []] = turns.map(({ results }) => results)
  yield* result(
    "decoding a listed object, protobuf relative to JSON",
    ratios(figures(ours, "list"), figures(theirs, "list"))
  )
  yield* result(
    "decoding an event, protobuf relative to JSON",
    ratios(figures(ours, "event"), figures(theirs, "event"))
  )
})

const settingsOf = (cluster: EncodedCluster, contentType: ContentType) => ({
  ...serviceSettings(cluster),
  KUBE_CONTENT_TYPE: contentType
})

/** CPU microseconds of the whole service until it has listed the cluster, and the number of bytes that it received. */
const listing = (cluster: EncodedCluster, contentType: ContentType) =>
  Effect.scoped(
    Effect.gen(function* () {
      const before = yield* bytesSent(cluster)
      const { cpu } = yield* startSyncing(settingsOf(cluster, contentType), "src/main.ts")
      return { cpu, bytes: (yield* bytesSent(cluster)) - before }
    })
  )

const lists = Effect.fnUntraced(function* (quick: boolean) {
  const few = yield* startEncodedCluster(10)
  const measured = yield* Effect.forEach(quick ? [5000] : [20_000, 100_000], (size) =>
    Effect.scoped(
      Effect.gen(function* () {
        const many = yield* startEncodedCluster(size)
        const turns = yield* takeTurns(contenders, quick ? 1 : 5, (contentType) =>
          Effect.map(Effect.all([listing(few, contentType), listing(many, contentType)]), ([base, { bytes, cpu }]) => ({
            micros: (cpu - base.cpu) / size,
            bytes: bytes / size
          }))
        )
        return { size, turns }
      })
    )
  )
  yield* print("\nThe whole service, from its start until it is ready, less the same with 10 deployments\n")
  yield* table(
    ["deployments", "encoding", "CPU µs of each", "bytes of each"],
    measured.flatMap(({ size, turns }) =>
      turns.map(({ contender, results }) => [
        size,
        contender,
        spread(figures(results, "micros")),
        spread(figures(results, "bytes"), 0)
      ])
    )
  )
  for (const { size, turns } of measured) {
    for (const { contender, results } of turns) {
      const goal = contender === "protobuf" ? { atMost: 15 } : {}
      yield* result(
        `CPU of the service of each of ${size} listed in ${contender}, µs`,
        figures(results, "micros"),
        goal,
        1
      )
    }
  }
})

/** CPU microseconds of a service per event, and bytes per event. */
const watching = Effect.fnUntraced(function* (
  { cluster, pid }: { readonly cluster: EncodedCluster; readonly pid: number },
  perSecond: number,
  seconds: number
) {
  const before = { cpu: cpuMicros(pid), bytes: yield* bytesSent(cluster) }
  const { bytes, count } = yield* changeDeployments(cluster, perSecond, seconds, monotonicMicros())
  // By then, the last events have been applied.
  yield* Effect.sleep("200 millis")
  return { micros: (cpuMicros(pid) - before.cpu) / count, bytes: (bytes - before.bytes) / count }
})

const watches = Effect.fnUntraced(function* (quick: boolean) {
  const perSecond = quick ? 1000 : 5000
  const services = yield* Effect.forEach(contenders, (contentType) =>
    Effect.gen(function* () {
      const cluster = yield* startEncodedCluster(10_000)
      const { pid } = yield* startSyncing(settingsOf(cluster, contentType), "src/main.ts")
      return { contentType, cluster, pid }
    })
  )
  const once = (service: (typeof services)[number]) => watching(service, perSecond, quick ? 1 : 10)
  // Warms the compiler.
  yield* Effect.forEach(services, once)
  const turns = yield* takeTurns(services, quick ? 1 : 5, once)
  yield* print(`\nThe whole service at ${perSecond} events/s, with 10,000 deployments\n`)
  yield* table(
    ["encoding", "CPU µs of each event", "bytes of each"],
    turns.map(({ contender, results }) => [
      contender.contentType,
      spread(figures(results, "micros")),
      spread(figures(results, "bytes"), 0)
    ])
  )
  const [ours = [], theirs = []] = turns.map(({ results }) => figures(results, "micros"))
  yield* result("CPU of the service of an event, protobuf relative to JSON", ratios(ours, theirs))
})

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  yield* title("wire")
  yield* decoding(quick)
  yield* lists(quick)
  yield* watches(quick)
})

await Effect.runPromise(Effect.scoped(main))
