/**
 * Mutated bytes of the embedded cluster, read by the codecs and by independent decoders. A codec gives the event of the
 * independent decoder, or a decode error. Set `FUZZ_SEED` to repeat a run or to run with another seed.
 */
import { assert, describe, it } from "@effect/vitest"
import { Config, Effect, Random, Result, Schema } from "effect"
import type { StoredDeployment } from "../../../src/embedded/ClusterStore.ts"
import { statusOf } from "../../../src/embedded/KubeStatus.ts"
import { json as jsonEncoding } from "../../../src/embedded/wire/JsonEncoding.ts"
import type { ObjectEncoding } from "../../../src/embedded/wire/ObjectEncoding.ts"
import { protobuf as protobufEncoding } from "../../../src/embedded/wire/ProtobufEncoding.ts"
import { json } from "../../../src/kube/wire/JsonCodec.ts"
import type { KubeCodec } from "../../../src/kube/wire/KubeCodec.ts"
import { protobuf } from "../../../src/kube/wire/ProtobufCodec.ts"
import { deployments } from "../../../src/kube/wire/ResourceKind.ts"
import { messages, readMessage, schemaIn } from "../../support/ProtobufSchema.ts"
import { cutInto } from "./Messages.ts"

const frameCount = 10_000
const framesAtOnce = 5
const listCount = 1000

const seed = Config.withDefault(Config.Int("FUZZ_SEED"), 20_261_125)

// Only the fields that the codec reads: what it skips may be malformed.
const schema = schemaIn({
  WatchEvent: messages.WatchEvent,
  RawExtension: messages.RawExtension,
  Unknown: { raw: messages.Unknown.raw, contentEncoding: messages.Unknown.contentEncoding },
  ListMeta: { resourceVersion: messages.ListMeta.resourceVersion, continue: messages.ListMeta.continue },
  ObjectMeta: {
    name: messages.ObjectMeta.name,
    namespace: messages.ObjectMeta.namespace,
    resourceVersion: messages.ObjectMeta.resourceVersion
  },
  DeploymentSpec: { replicas: messages.DeploymentSpec.replicas },
  Deployment: { metadata: messages.Deployment.metadata, spec: messages.Deployment.spec },
  DeploymentList: messages.DeploymentList
})
// Annotations are read only of bookmarks.
const bookmarkSchema = schemaIn({
  ObjectMeta: { resourceVersion: messages.ObjectMeta.resourceVersion, annotations: messages.ObjectMeta.annotations },
  Deployment: { metadata: messages.Deployment.metadata }
})

const optional = Schema.optional
const Bytes = optional(Schema.Uint8ArrayFromBase64)
const EventShape = Schema.Struct({ type: optional(Schema.String), object: optional(Schema.Struct({ raw: Bytes })) })
const UnknownShape = Schema.Struct({ raw: Bytes, contentEncoding: optional(Schema.String) })
const ObjectShape = Schema.Struct({
  metadata: optional(
    Schema.Struct({
      name: optional(Schema.String),
      namespace: optional(Schema.String),
      resourceVersion: optional(Schema.String),
      annotations: optional(Schema.Record(Schema.String, Schema.String))
    })
  ),
  spec: optional(Schema.Struct({ replicas: optional(Schema.Number) }))
})
const ListShape = Schema.Struct({
  metadata: optional(Schema.Struct({ resourceVersion: optional(Schema.String), continue: optional(Schema.String) })),
  items: optional(Schema.Array(ObjectShape))
})
const LineShape = Schema.Struct({ type: Schema.String, object: ObjectShape })

const decodeEvent = Schema.decodeUnknownSync(EventShape)
const decodeUnknown = Schema.decodeUnknownSync(UnknownShape)
const decodeObject = Schema.decodeUnknownSync(ObjectShape)
const decodeList = Schema.decodeUnknownSync(ListShape)
const decodeLine = Schema.decodeUnknownSync(Schema.fromJsonString(LineShape))

const none = new Uint8Array()
const magic = Buffer.from("k8s\0")

const unwrapped = (bytes: Uint8Array): Uint8Array => {
  if (!magic.equals(bytes.subarray(0, magic.length))) throw new Error("no magic bytes")
  const { contentEncoding = "", raw = none } = decodeUnknown(
    readMessage(schema("Unknown"), bytes.subarray(magic.length))
  )
  if (contentEncoding !== "") throw new Error("a content encoding")
  return raw
}

const fieldsOf = ({ metadata, spec }: typeof ObjectShape.Type) => ({
  name: metadata?.name,
  namespace: metadata?.namespace,
  resourceVersion: metadata?.resourceVersion,
  replicas: spec?.replicas
})

/** A short form of the event. Throws if the event is invalid. */
const said = (type: string, object: typeof ObjectShape.Type): string => {
  if (type === "BOOKMARK") {
    const { annotations, resourceVersion = "" } = object.metadata ?? {}
    return `bookmark ${resourceVersion} ${annotations?.["k8s.io/initial-events-end"] === "true"}`
  }
  const { replicas, ...rest } = fieldsOf(object)
  const deleted = type === "DELETED"
  const valid = Result.getOrThrow(deployments.validate({ ...rest, replicas: deleted ? undefined : replicas }))
  return `${deleted ? "deleted" : "applied"} ${JSON.stringify(valid)}`
}

const saidByFrame = (frame: Uint8Array): string => {
  const { object, type = "" } = decodeEvent(readMessage(schema("WatchEvent"), frame))
  const raw = unwrapped(object?.raw ?? none)
  return said(type, decodeObject(readMessage((type === "BOOKMARK" ? bookmarkSchema : schema)("Deployment"), raw)))
}

const saidByLine = (line: Uint8Array): string => {
  const { object, type } = decodeLine(new TextDecoder("utf-8", { fatal: true }).decode(line))
  return said(type, object)
}

/** The content of the frames, without length or newline, as an independent decoder finds them. */
const framesIn = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const frames: Array<Uint8Array> = []
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + view.getUint32(at)
    if (end > bytes.length) break
    frames.push(bytes.subarray(at + 4, end))
    at = end
  }
  return frames
}

const linesIn = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
  const lines: Array<Uint8Array> = []
  for (let at = 0, end = bytes.indexOf(0x0a); end !== -1; end = bytes.indexOf(0x0a, at)) {
    lines.push(bytes.subarray(at, end))
    at = end + 1
  }
  return lines
}

const attempt = (read: () => string): string | undefined =>
  Result.getOrUndefined(Result.try({ try: read, catch: () => undefined }))

const encodings: ReadonlyArray<{
  readonly name: string
  readonly encoding: ObjectEncoding
  readonly codec: KubeCodec
  readonly split: (bytes: Uint8Array) => ReadonlyArray<Uint8Array>
  readonly said: (frame: Uint8Array) => string
}> = [
  { name: "protobuf", encoding: protobufEncoding, codec: protobuf, split: framesIn, said: saidByFrame },
  { name: "JSON", encoding: jsonEncoding, codec: json, split: linesIn, said: saidByLine }
]

const below = (limit: number) => Random.nextIntBetween(0, Math.max(0, limit - 1))

const pick = <A>(values: readonly [A, ...ReadonlyArray<A>]): Effect.Effect<A> =>
  Effect.map(below(values.length), (index) => values[index] ?? values[0])

const someDeployment = Effect.gen(function* () {
  const index = yield* below(100)
  const namespace = yield* pick(["personal", "kube-system", "a"])
  const name = yield* pick(["nginx", "kafka.broker-0", "resource-access-of-the-whole-company-and-more"])
  return {
    resource: "deployments",
    key: `${namespace}/${name}`,
    namespace,
    name,
    replicas: yield* pick([undefined, 0, 1, 128, 2_147_483_647, -1]),
    resourceVersion: 1 + index * 1_000_003,
    generation: 1,
    uid: index,
    createdAt: 1_700_000_000_000,
    padding: 0
  } satisfies StoredDeployment
})

const bytesOf = (chunk: string | Uint8Array): Uint8Array => (typeof chunk === "string" ? Buffer.from(chunk) : chunk)

const someEvent = Effect.fnUntraced(function* ({ events }: Pick<ObjectEncoding, "events">) {
  const kind = yield* below(10)
  if (kind === 0) return bytesOf(events.error(statusOf(410, "too old")))
  if (kind === 1) return bytesOf(events.bookmark("deployments", yield* below(1000), yield* Random.nextBoolean))
  const type = yield* pick(["ADDED", "MODIFIED", "DELETED"] as const)
  return bytesOf(events.change(type, yield* someDeployment, false))
})

/** Flips a bit, overwrites, removes, inserts or repeats some bytes, or truncates. */
const mutated = Effect.fnUntraced(function* (bytes: Uint8Array) {
  const at = yield* below(bytes.length)
  const count = 1 + (yield* below(8))
  const before = bytes.subarray(0, at)
  const some = Uint8Array.from({ length: count }, (_, index) => (index * 89) & 0xff)
  switch (yield* below(8)) {
    case 0:
      return Buffer.concat([before, bytes.subarray(at + count)])
    case 1:
      return Buffer.concat([before, some, bytes.subarray(at)])
    case 2:
      return Buffer.concat([before, bytes.subarray(at, at + 4 * count), bytes.subarray(at)])
    case 3:
      return Buffer.from(before)
    case 4: {
      const copy = Buffer.from(bytes)
      copy.fill(yield* pick([0x00, 0x7f, 0x80, 0xff]), at, Math.min(bytes.length, at + count))
      return copy
    }
    default: {
      const copy = Buffer.from(bytes)
      copy[at] = (copy[at] ?? 0) ^ (1 << (yield* below(8)))
      return copy
    }
  }
})

const someTimes = Effect.fnUntraced(function* (bytes: Uint8Array) {
  let changed = bytes
  for (let times = yield* below(4); times > 0; times--) changed = yield* mutated(changed)
  return changed
})

const chunksOf = Effect.fnUntraced(function* (bytes: Uint8Array) {
  return cutInto(bytes, [yield* below(bytes.length + 1), yield* below(100), yield* below(2000)])
})

/** The events that the codec reads. Undefined stands for an object that it skips. */
const readEvents = (codec: KubeCodec, chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<string | undefined> => {
  const reader = codec.watch(deployments)
  const found: Array<string | undefined> = []
  for (const chunk of chunks) {
    const { complete, failure } = reader.push(chunk)
    for (const event of complete) {
      if (event._tag === "Applied") found.push(`applied ${JSON.stringify(event.object)}`)
      else if (event._tag === "Deleted") found.push(`deleted ${JSON.stringify(event.object)}`)
      else if (event._tag === "Bookmark") found.push(`bookmark ${event.resourceVersion} ${event.initialEventsEnd}`)
      else found.push(undefined)
    }
    if (failure !== undefined) break
  }
  return found
}

describe("mutated bytes", () => {
  for (const { codec, encoding, name, said, split } of encodings) {
    it.effect(`of ${frameCount} events in ${name} give the right events, or a decode error`, () =>
      Effect.gen(function* () {
        const from = yield* seed
        let right = 0
        yield* Effect.gen(function* () {
          for (let done = 0; done < frameCount; done += framesAtOnce) {
            const frames: Array<Uint8Array> = []
            for (let index = 0; index < framesAtOnce; index++) {
              const frame = yield* someEvent(encoding)
              frames.push(yield* someTimes(frame))
            }
            const whole = Buffer.concat(frames)
            const events = readEvents(codec, yield* chunksOf(whole))
            const independent = split(whole)
            assert.isAtMost(events.length, independent.length)
            events.forEach((event, index) => {
              if (event === undefined) return
              const frame = independent[index] ?? none
              assert.strictEqual(
                event,
                attempt(() => said(frame)),
                `seed ${from}, frame ${Buffer.from(frame).toString("base64")}`
              )
              right++
            })
          }
        }).pipe(Random.withSeed(from))
        // The mutations leave enough events intact for the comparison to mean something.
        assert.isAbove(right, frameCount / 20)
      })
    )
  }

  it.effect(`of ${listCount} lists in protobuf give the right page, or a decode error`, () =>
    Effect.gen(function* () {
      const from = yield* seed
      let right = 0
      yield* Effect.gen(function* () {
        for (let done = 0; done < listCount; done++) {
          const items = [yield* someDeployment, yield* someDeployment, yield* someDeployment]
          const list = protobufEncoding.list(
            {
              resource: "deployments",
              resourceVersion: 1 + (yield* below(1000)),
              continueToken: yield* pick([undefined, "next"]),
              remainingItemCount: undefined,
              emptyItems: "array",
              bareItems: true
            },
            items,
            0,
            items.length
          )
          const whole = yield* someTimes(Buffer.concat(Array.from(list, bytesOf)))
          const reader = protobuf.page(deployments)
          const failures = (yield* chunksOf(whole)).map((chunk) => reader.push(chunk))
          const page = reader.end()
          if (failures.some((failure) => failure !== undefined) || Result.isFailure(page)) continue
          const { items: found, undecodable, ...meta } = page.success
          if (undecodable.length > 0) continue
          const expected = attempt(() => {
            const { items = [], metadata } = decodeList(readMessage(schema("DeploymentList"), unwrapped(whole)))
            return JSON.stringify({
              items: items.map((item) => Result.getOrThrow(deployments.validate(fieldsOf(item)))),
              resourceVersion: metadata?.resourceVersion,
              ...(metadata?.continue === undefined || metadata.continue === "" ? {} : { continue: metadata.continue })
            })
          })
          assert.strictEqual(
            JSON.stringify({ items: found, ...meta }),
            expected,
            `seed ${from}, list ${Buffer.from(whole).toString("base64")}`
          )
          right++
        }
      }).pipe(Random.withSeed(from))
      assert.isAbove(right, listCount / 20)
    })
  )
})
