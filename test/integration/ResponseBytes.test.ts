import { assert, describe, it as plainIt } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { createServer } from "node:http"
import { connect } from "node:net"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { SlicedResponse, sliceBytes } from "../../src/server/SlicedResponse.ts"
import { eventually } from "../support/Eventually.ts"
import { type Answer, send } from "../support/Https.ts"
import { measured, nothingLeft, untilMeasured } from "../support/Measured.ts"
import { listening } from "../support/Ports.ts"
import { closed, tlsConnection } from "../support/Sockets.ts"
import { TestService, withService } from "../support/TestService.ts"

const long = Object.fromEntries(
  Array.from({ length: 600 }, (_, at) => [`${"a-rather-long-name-".repeat(10)}${at}`, 1] as const)
)
const list = "/namespaces/long/deployments"
const small = "/namespaces/personal/deployments"
const write = "/namespaces/personal/deployments/nginx/replica_count/5"

/** Two lists fit, but only one of a user. */
const twoLists = 2 * 250 * 600

const expectRefusal = ({ body, headers, status }: Answer) => {
  assert.strictEqual(status, 503)
  assert.match(String(headers["retry-after"]), /^[1-9][0-9]*$/)
  assert.include(body, '"code":"NotReady"')
}

withService({ kube: { seed: { ...demoSeed, long } }, maxResponseBytes: twoLists })("MAX_RESPONSE_BYTES", (it) => {
  it.effect("a large read beyond the user's half gets 503; small reads, writes and other users do not", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { faults } = yield* EmbeddedKube
      const whole = yield* send(port, { client: "admin", path: list })
      assert.isAbove(Number(whole.headers["content-length"]), twoLists / 4)
      const refused = yield* measured("response_bytes_refused_total")
      yield* faults.hang(true)
      const socket = yield* tlsConnection({ port }, "admin")
      let received = ""
      socket.on("data", (chunk: Buffer) => (received += chunk.toString("latin1")))
      // The response to the list waits behind that to the write.
      socket.write(
        `PUT ${write} HTTP/1.1\r\nHost: x\r\n\r\nGET ${list} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
      )
      yield* untilMeasured("response_bytes_in_flight", Number(whole.headers["content-length"]))
      expectRefusal(yield* send(port, { client: "admin", path: list }))
      // The routes answer a request with a body.
      expectRefusal(yield* send(port, { client: "admin", path: list, headers: { "content-length": "0" } }))
      assert.strictEqual((yield* measured("response_bytes_refused_total")) - refused, 2)
      assert.strictEqual((yield* send(port, { client: "admin", path: small })).status, 200)
      assert.strictEqual((yield* send(port, { client: "viewer", path: list })).body, whole.body)
      yield* faults.hang(false)
      yield* closed(socket)
      assert.isTrue(received.endsWith(`\r\n\r\n${whole.body}`))
      yield* untilMeasured("response_bytes_in_flight", 0)
      assert.strictEqual((yield* send(port, { client: "admin", path: list })).body, whole.body)
      yield* nothingLeft
    })
  )

  it.effect("a client that disconnects frees its bytes", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { faults } = yield* EmbeddedKube
      yield* faults.hang(true)
      const socket = yield* tlsConnection({ port }, "admin")
      socket.write(`PUT ${write} HTTP/1.1\r\nHost: x\r\n\r\nGET ${list} HTTP/1.1\r\nHost: x\r\n\r\n`)
      yield* eventually(measured("response_bytes_in_flight"), (bytes) => bytes > 0)
      socket.destroy()
      yield* untilMeasured("response_bytes_in_flight", 0)
      yield* faults.hang(false)
      yield* nothingLeft
    })
  )
})

const bodyOf = (length: number) => Buffer.alloc(length, "0123456789abcdefghijklmnopqrstuvwxyz")

/** Serves bodies of the length in the path. `buffered`: the most bytes that a response had in its socket's buffer. */
const sliced = Effect.gen(function* () {
  const buffered = { bytes: 0 }
  const server = createServer({ ServerResponse: SlicedResponse }, (request, response) => {
    const body = bodyOf(Number(request.url?.slice(1)))
    response.writeHead(200, { "content-length": String(body.length) })
    response.end(body)
    buffered.bytes = Math.max(buffered.bytes, response.writableLength)
  })
  return { port: yield* listening(server), buffered }
})

describe("a response in slices", () => {
  plainIt.effect.prop(
    "has the bytes of the body, whatever its length and the pipelined responses before it",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: -2, maximum: 2 }))).check(Schema.isMaxLength(4))],
    ([steps]) =>
      Effect.gen(function* () {
        const { port } = yield* sliced
        const lengths = steps.flatMap((step, at) => [at * sliceBytes + step + 2, 5])
        const expected = lengths.map((length) => bodyOf(length).toString("latin1"))
        const received = yield* Effect.callback<string, Error>((resume) => {
          const socket = connect(port, "127.0.0.1")
          let text = ""
          socket.on("data", (chunk) => (text += chunk.toString("latin1")))
          socket.on("close", () => resume(Effect.succeed(text)))
          socket.on("error", (error) => resume(Effect.fail(error)))
          const requests = lengths.map((length) => `GET /${length} HTTP/1.1\r\nHost: x\r\n\r\n`)
          socket.write(`${requests.join("")}GET /0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
        })
        const bodies = received.split(/HTTP\/1\.1 200 OK\r\n(?:[^\r]+\r\n)*\r\n/).slice(1)
        assert.deepStrictEqual(bodies, [...expected, ""])
      }),
    { arbitrary: { runs: 30 } }
  )

  plainIt.live("never holds more than one slice beside the header block, even if the client does not read", () =>
    Effect.gen(function* () {
      const { buffered, port } = yield* sliced
      const socket = connect(port, "127.0.0.1").pause()
      socket.write(`GET /${64 * sliceBytes} HTTP/1.1\r\nHost: x\r\n\r\n`)
      yield* eventually(
        Effect.sync(() => buffered.bytes),
        (bytes) => bytes > 0
      )
      assert.isBelow(buffered.bytes, 2 * sliceBytes)
      socket.destroy()
    })
  )
})
