import { assert, describe, it } from "@effect/vitest"
import { WireType } from "@bufbuild/protobuf/wire"
import { Effect, Result, Schema } from "effect"
import { protobuf } from "../../../src/kube/wire/ProtobufCodec.ts"
import type { ResourceKind } from "../../../src/kube/wire/ResourceKind.ts"
import { deployments, namespaces } from "../../../src/kube/wire/ResourceKind.ts"
import type { ResourceVersion } from "../../../src/model/ResourceVersion.ts"
import {
  bookmark,
  bytes,
  change,
  cutInto,
  deployment,
  frame,
  integer,
  list,
  message,
  nested,
  raw,
  standalone,
  status,
  text,
  watchEvent
} from "./Messages.ts"

type Versioned = { readonly resourceVersion: ResourceVersion }

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** The page in these chunks, or the reason why it cannot be decoded. */
const readPage = <A extends Versioned>(kind: ResourceKind<A>, ...chunks: ReadonlyArray<Uint8Array>): unknown => {
  const reader = protobuf.page(kind)
  for (const chunk of chunks) {
    const failure = reader.push(chunk)
    if (failure !== undefined) return failure
  }
  const page = reader.end()
  return Result.isSuccess(page) ? plain(page.success) : page.failure
}

/** The events in these chunks, and the failure that ends them. */
const readWatch = <A extends Versioned>(
  kind: ResourceKind<A>,
  ...chunks: ReadonlyArray<Uint8Array>
): ReadonlyArray<unknown> => {
  const reader = protobuf.watch(kind)
  const found: Array<unknown> = []
  for (const next of [...chunks.map((chunk) => () => reader.push(chunk)), () => reader.end()]) {
    const { complete, failure } = next()
    found.push(...complete.map(plain))
    if (failure !== undefined) return [...found, plain(failure)]
  }
  return found
}

const nginx = { namespace: "personal", name: "nginx", replicas: 12, resourceVersion: "7" }
const kafka = { ...nginx, name: "kafka", replicas: 1 }

const sizes = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 90 })))

describe("a list in protobuf", () => {
  const whole = list([deployment("nginx", 12), deployment("kafka")], "next")
  const page = { items: [nginx, kafka], undecodable: [], resourceVersion: "42", continue: "next" }

  it.effect.prop("is read wherever the chunks end; an absent count is 1", { sizes }, ({ sizes }) =>
    Effect.sync(() => assert.deepStrictEqual(readPage(deployments, ...cutInto(whole, sizes)), page))
  )

  it("is read byte by byte", () => {
    assert.deepStrictEqual(readPage(deployments, ...Array.from(whole, (byte) => Uint8Array.of(byte))), page)
  })

  it("may be empty, and a count may be zero", () => {
    assert.deepStrictEqual(readPage(deployments, list([])), { items: [], undecodable: [], resourceVersion: "42" })
    assert.deepInclude(readPage(deployments, list([deployment("nginx", 0)])), { items: [{ ...nginx, replicas: 0 }] })
  })

  it("reads namespaces, whose spec has other fields", () => {
    const namespace = message(nested(1, text(1, "personal"), text(6, "3")), nested(2, text(1, "kubernetes")))
    assert.deepInclude(readPage(namespaces, list([namespace])), { items: [{ name: "personal", resourceVersion: "3" }] })
  })

  it("reads fields in any order, reads the last one of a repeated field, and skips unknown fields of each wire type", () => {
    const unknown = [
      integer(99, -1),
      (writer: Parameters<ReturnType<typeof raw>>[0]) => writer.tag(98, WireType.Bit64).fixed64(1n),
      (writer: Parameters<ReturnType<typeof raw>>[0]) => writer.tag(97, WireType.Bit32).fixed32(1),
      text(96, "unknown")
    ]
    const group = (writer: Parameters<ReturnType<typeof raw>>[0]) =>
      writer.tag(95, WireType.StartGroup).tag(1, WireType.Varint).int32(1).tag(95, WireType.EndGroup)
    const item = message(
      ...unknown,
      group,
      nested(2, integer(1, 3), ...unknown, integer(1, 12)),
      nested(1, text(6, "7"), text(3, "personal"), ...unknown, group),
      nested(1, text(1, "kafka")),
      nested(1, text(1, "nginx"))
    )
    const inner = message(...unknown, bytes(2, item), ...unknown, nested(1, text(2, "41")), nested(1, text(2, "42")))
    const outer = message(
      raw(Uint8Array.of(0x6b, 0x38, 0x73, 0)),
      ...unknown,
      bytes(2, inner),
      nested(1, text(2, "DeploymentList")),
      ...unknown
    )
    assert.deepStrictEqual(readPage(deployments, outer), { items: [nginx], undecodable: [], resourceVersion: "42" })
  })

  it("reports objects that cannot be decoded by their key, and reads the others", () => {
    const truncated = deployment("broken", 5).subarray(0, -1)
    const items = [deployment("nginx", -1), new Uint8Array(0), truncated, deployment("kafka")]
    assert.deepInclude(readPage(deployments, list(items)), {
      items: [kafka],
      undecodable: [
        { key: "personal/nginx", message: "an invalid or absent replicas" },
        { message: "an invalid or absent namespace" },
        { key: "personal/broken", message: "a length beyond the end of its message" }
      ]
    })
  })

  it.each([
    ["another magic", Uint8Array.of(0x6b, 0x38, 0x73, 1, 2, 3), "no magic bytes of Kubernetes protobuf"],
    ["nothing", new Uint8Array(0), "a truncated list"],
    ["the magic alone", whole.subarray(0, 4), "a truncated list"],
    ["a truncated list", whole.subarray(0, -40), "a truncated list"],
    ["no version", standalone("DeploymentList", message(nested(1, text(1, "")))), "a list without a version"],
    [
      "an encoded list",
      message(raw(Uint8Array.of(0x6b, 0x38, 0x73, 0)), text(3, "gzip")),
      "an unknown content encoding"
    ],
    ["a second list", message(raw(whole), bytes(2, message())), "a second list"],
    [
      "a field that is longer than the list",
      standalone("DeploymentList", message(text(2, "abc")).subarray(0, -1)),
      "a field beyond the end of the list"
    ],
    [
      "an object beyond the limit",
      message(raw(Uint8Array.of(0x6b, 0x38, 0x73, 0, 0x12, 0xff, 0xff, 0xff, 0x7f, 0x12, 0xff, 0xff, 0xff, 0x0f))),
      "an object of more than 8388608 bytes"
    ],
    ["a group in the list", standalone("DeploymentList", Uint8Array.of(0x1b, 0x1c)), "a field that is a group"],
    ["HTML", new TextEncoder().encode("<h1>Log in</h1>"), "no magic bytes of Kubernetes protobuf"]
  ])("fails to read %s", (_, whole, failure) => {
    assert.strictEqual(readPage(deployments, whole), failure)
  })
})

describe("a watch in protobuf", () => {
  const events = [
    { _tag: "Applied", object: nginx },
    { _tag: "Applied", object: kafka },
    { _tag: "Deleted", object: { ...nginx, replicas: 1 } },
    { _tag: "Bookmark", resourceVersion: "9", initialEventsEnd: false },
    { _tag: "Bookmark", resourceVersion: "10", initialEventsEnd: true }
  ]
  const whole = Buffer.concat([
    change("ADDED", deployment("nginx", 12)),
    change("MODIFIED", deployment("kafka")),
    change("DELETED", deployment("nginx", 12)),
    bookmark("9", false),
    bookmark("10", true)
  ])

  it.effect.prop("is read wherever the chunks end", { sizes }, ({ sizes }) =>
    Effect.sync(() => assert.deepStrictEqual(readWatch(deployments, ...cutInto(whole, sizes)), events))
  )

  it("is read byte by byte", () => {
    assert.deepStrictEqual(readWatch(deployments, ...Array.from(whole, (byte) => Uint8Array.of(byte))), events)
  })

  // Time that grows with the square of the chunks would exceed the timeout.
  it("reads an event of 8 MB in chunks of 50 bytes", () => {
    const event = change("MODIFIED", deployment("nginx", 12, text(99, "x".repeat(8_000_000))))
    const reader = protobuf.watch(deployments)
    const found = Array.from({ length: Math.ceil(event.length / 50) }, (_, index) =>
      reader.push(event.subarray(50 * index, 50 * (index + 1)))
    ).flatMap(({ complete }) => complete)
    assert.deepStrictEqual(found.map(plain), [events[0]])
  }, 30_000)

  it("reports an object that cannot be decoded by its key, and continues", () => {
    assert.deepStrictEqual(
      readWatch(
        deployments,
        change("MODIFIED", deployment("nginx", -1)),
        change("ADDED", new Uint8Array(0)),
        frame(watchEvent("ADDED", Uint8Array.of(1, 2, 3, 4, 5))),
        change("ADDED", deployment("nginx", 12))
      ),
      [
        { _tag: "Undecodable", key: "personal/nginx", message: "an invalid or absent replicas" },
        { _tag: "Undecodable", message: "an invalid or absent namespace" },
        { _tag: "Undecodable", message: "no magic bytes of Kubernetes protobuf" },
        events[0]
      ]
    )
  })

  it("reads a deletion whose count is invalid, and fails on one without a version", () => {
    assert.deepStrictEqual(readWatch(deployments, change("DELETED", deployment("nginx", -1))), [events[2]])
    assert.deepStrictEqual(
      readWatch(deployments, change("DELETED", message(nested(1, text(1, "nginx"), text(3, "personal"))))),
      ["a deleted object: an invalid or absent resourceVersion"]
    )
  })

  it("ends with the Status of an ERROR event, after the events before it", () => {
    const error = frame(watchEvent("ERROR", status(410, "Expired")))
    assert.deepStrictEqual(readWatch(deployments, Buffer.concat([whole, error])), [
      ...events,
      {
        code: 410,
        reason: "Expired",
        message: "too old",
        details: { retryAfterSeconds: 3, causes: [{ reason: "ResourceVersionTooLarge" }] }
      }
    ])
  })

  it.each([
    ["a length beyond the limit", Uint8Array.of(0x7f, 0xff, 0xff, 0xff), "an event of more than 8388608 bytes"],
    ["a frame that is no message", frame(Uint8Array.of(0x0a, 0x7f, 1)), "premature EOF"],
    ["field number 0", frame(Uint8Array.of(0, 0)), "illegal tag: field no 0 wire type 0"],
    ["an unknown type", change("RENAMED", deployment("nginx", 12)), "an event of unknown type"],
    ["a type that is a number", frame(message(integer(1, 3))), "field 1 of unexpected wire type 0"],
    ["text that is not UTF-8", frame(message(bytes(1, Uint8Array.of(0xff, 0xfe)))), undefined],
    ["a truncated length", Uint8Array.of(0, 0), "truncated in the middle of an event"],
    [
      "a truncated frame",
      change("ADDED", deployment("nginx", 12)).subarray(0, -1),
      "truncated in the middle of an event"
    ],
    ["a bookmark without a version", change("BOOKMARK", new Uint8Array(0)), "a bookmark without a version"]
  ])("fails on %s", (_, bytes, failure) => {
    const [only, ...rest] = readWatch(deployments, bytes)
    assert.deepStrictEqual(rest, [])
    assert.isString(only)
    if (failure !== undefined) assert.strictEqual(only, failure)
  })
})

describe("a Status in protobuf", () => {
  it("is read as the JSON one is", () => {
    const read = protobuf.status(status(504, "Timeout"))
    assert(Result.isSuccess(read))
    assert.deepInclude(read.success, { code: 504, reason: "Timeout", message: "too old" })
  })

  it("is rejected without the magic bytes", () => {
    assert(Result.isFailure(protobuf.status(new TextEncoder().encode("upstream connect error"))))
  })
})
