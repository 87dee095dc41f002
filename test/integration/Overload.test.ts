import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { eventually } from "../support/Eventually.ts"
import { type Answer, send } from "../support/Https.ts"
import { measured, nothingLeft, untilMeasured } from "../support/Measured.ts"
import { closed, tlsConnection } from "../support/Sockets.ts"
import { TestService, withService } from "../support/TestService.ts"

const read = "/namespaces/personal/deployments/nginx/replica_count"
const write = "/namespaces/personal/deployments/nginx/replica_count/5"

const put = (port: number, client: "admin" | "viewer" = "admin") => send(port, { client, method: "PUT", path: write })

/** Starts `count` writes. The cluster does not respond to them yet. */
const startWrites = (port: number, count: number, client: "admin" | "viewer" = "admin") =>
  Effect.forEach(Array.from({ length: count }), () => Effect.forkChild(put(port, client)))

const expectRefusal = (answer: Answer, code: string) => {
  assert.strictEqual(answer.status, 503)
  assert.strictEqual(answer.headers["content-type"], "application/problem+json")
  assert.match(String(answer.headers["retry-after"]), /^[1-9][0-9]*$/)
  const problem: Record<string, unknown> = JSON.parse(answer.body)
  assert.strictEqual(problem["code"], code)
  assert.strictEqual(problem["status"], 503)
  assert.strictEqual(problem["instance"], answer.headers["x-request-id"])
}

withService({ maxInFlight: 4 })("MAX_IN_FLIGHT", (it) => {
  it.effect(
    "reads and writes beyond the limit get 503 NotReady, probes get 200, and both get 200 once there is room",
    () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const { faults } = yield* EmbeddedKube
        const before = yield* measured("requests_shed_total", { identified: "true" })
        yield* faults.hang(true)
        const writes = [...(yield* startWrites(port, 2)), ...(yield* startWrites(port, 2, "viewer"))]
        yield* untilMeasured("requests_in_flight", 4)
        const refused = yield* send(port, { client: "viewer", path: read, headers: { "x-request-id": "mine" } })
        expectRefusal(refused, "NotReady")
        assert.strictEqual(refused.headers["x-request-id"], "mine")
        expectRefusal(yield* put(port), "NotReady")
        expectRefusal(yield* send(port, { client: "none", path: read }), "NotReady")
        expectRefusal(
          yield* send(port, { client: "admin", path: read, method: "POST", body: "x".repeat(4000) }),
          "NotReady"
        )
        const head = yield* send(port, { client: "viewer", path: read, method: "HEAD" })
        assert.strictEqual(head.status, 503)
        assert.strictEqual(head.body, "")
        for (const path of ["/livez", "/readyz", "/livez?verbose"]) {
          assert.strictEqual((yield* send(port, { client: "none", path })).status, 200)
        }
        assert.strictEqual((yield* measured("requests_shed_total", { identified: "true" })) - before, 4)
        yield* faults.hang(false)
        for (const fiber of writes) assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
        assert.strictEqual((yield* send(port, { client: "viewer", path: read })).status, 200)
        yield* nothingLeft
      })
  )

  it.effect("one user has at most half of the places, over any number of connections", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { faults } = yield* EmbeddedKube
      yield* faults.hang(true)
      const writes = yield* startWrites(port, 2)
      yield* untilMeasured("requests_in_flight", 2)
      expectRefusal(yield* send(port, { client: "admin", path: read }), "NotReady")
      assert.strictEqual((yield* send(port, { client: "viewer", path: read })).status, 200)
      yield* faults.hang(false)
      for (const fiber of writes) assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      assert.strictEqual((yield* send(port, { client: "admin", path: read })).status, 200)
      yield* nothingLeft
    })
  )

  it.effect("clients without a certificate have at most a few of the places", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const socket = yield* tlsConnection({ port }, "none")
      const text: Array<string> = []
      socket.on("data", (chunk: Buffer) => text.push(chunk.toString("latin1")))
      // One packet, so that the server parses the last request before it sends a response.
      socket.write(
        `${`GET ${read} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(3)}GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
      )
      yield* closed(socket)
      assert.deepStrictEqual(text.join("").match(/HTTP\/1\.1 [0-9]{3}/g), [
        "HTTP/1.1 403",
        "HTTP/1.1 503",
        "HTTP/1.1 503",
        "HTTP/1.1 200"
      ])
      yield* nothingLeft
    })
  )

  it.effect("a client that disconnects frees its place", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { faults } = yield* EmbeddedKube
      yield* faults.hang(true)
      const writes = [...(yield* startWrites(port, 2)), ...(yield* startWrites(port, 2, "viewer"))]
      yield* untilMeasured("requests_in_flight", 4)
      yield* Fiber.interruptAll(writes)
      yield* untilMeasured("requests_in_flight", 0)
      assert.strictEqual((yield* send(port, { client: "viewer", path: read })).status, 200)
      yield* faults.hang(false)
      yield* nothingLeft
    })
  )
})

withService({ maxPipelinedRequests: 16 })("MAX_PIPELINED_REQUESTS", (it) => {
  const pipelined = (count: number) => `GET ${read} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(count)

  it.effect("serves as many requests in one packet as the limit, in order", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const socket = yield* tlsConnection({ port }, "viewer")
      const text: Array<string> = []
      socket.on("data", (chunk: Buffer) => text.push(chunk.toString("latin1")))
      socket.write(`${pipelined(15)}GET ${read} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      yield* closed(socket)
      assert.strictEqual(text.join("").match(/HTTP\/1\.1 200/g)?.length, 16)
      yield* nothingLeft
    })
  )

  it.effect("closes a connection with thousands of requests in one packet, and serves others", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const before = yield* measured("connections_evicted_total", { reason: "pipelining" })
      const withBodies = [
        `GET ${read} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`,
        `GET ${read} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`
      ]
      for (const text of [pipelined(5000), withBodies.join("").repeat(2500), `GET / HTTP/1.1\r\n\r\n`.repeat(5000)]) {
        for (const client of ["viewer", "none"] as const) {
          const sockets = yield* Effect.forEach(Array.from({ length: 10 }), () => tlsConnection({ port }, client))
          for (const socket of sockets) socket.write(text)
          for (const socket of sockets) yield* closed(socket)
        }
      }
      yield* untilMeasured("connections_evicted_total", before + 60, { reason: "pipelining" })
      yield* nothingLeft
      assert.strictEqual((yield* send(port, { client: "viewer", path: read })).status, 200)
    })
  )
})

const large = Object.fromEntries(
  Array.from({ length: 5000 }, (_, at) => [`${"a-rather-long-name-".repeat(10)}${at}`, 1] as const)
)

withService({
  kube: { seed: { ...demoSeed, large } },
  headersTimeout: Duration.millis(400),
  requestTimeout: Duration.millis(500),
  responseTimeout: Duration.millis(500),
  maxResponseBytes: 1_000_000_000
})("RESPONSE_TIMEOUT", (it) => {
  const everything = `GET /namespaces/ANY/deployments/ANY/replica_count HTTP/1.1\r\nHost: x\r\n\r\n`

  it.effect("closes the connection of a client that does not read, and frees its memory and places", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const before = yield* measured("connections_evicted_total", { reason: "response_timeout" })
      const sockets = yield* Effect.forEach(Array.from({ length: 4 }), () => tlsConnection({ port }, "viewer"))
      for (const socket of sockets) {
        socket.pause()
        // More bytes than the kernel buffers of both sides hold.
        socket.write(everything.repeat(16))
      }
      assert.strictEqual((yield* send(port, { client: "viewer", path: read })).status, 200)
      yield* untilMeasured("connections_evicted_total", before + 4, { reason: "response_timeout" })
      yield* nothingLeft
    })
  )

  it.effect("a slow reader gets every response in full, each within its own time", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const socket = yield* tlsConnection({ port }, "viewer")
      let bytes = 0
      socket.on("data", (chunk: Buffer) => {
        bytes += chunk.length
        socket.pause()
        setTimeout(() => socket.resume(), 1)
      })
      const { headers } = yield* send(port, {
        client: "viewer",
        method: "HEAD",
        path: "/namespaces/ANY/deployments/ANY/replica_count"
      })
      const length = Number(headers["content-length"])
      assert.isAbove(length, 1_000_000)
      for (let at = 1; at <= 4; at++) {
        socket.write(everything)
        yield* eventually(
          () => bytes,
          (received) => received >= at * length
        )
      }
      assert.isFalse(socket.destroyed)
      socket.destroy()
      yield* nothingLeft
    })
  )
})

describe("MAX_CLUSTER_WRITES and MAX_QUEUED_WRITES", () => {
  withService({ maxClusterWrites: 1, maxQueuedWrites: 3 })("with a slow cluster", (it) => {
    it.effect(
      "writes beyond both limits, or beyond half of them for one user, get 503 ClusterUnavailable at once",
      () =>
        Effect.gen(function* () {
          const { port } = yield* TestService
          const { faults } = yield* EmbeddedKube
          yield* faults.hang(true)
          const ours = yield* startWrites(port, 2)
          yield* untilMeasured("cluster_writes_present", 2)
          expectRefusal(yield* put(port), "ClusterUnavailable")
          const theirs = yield* startWrites(port, 2, "viewer")
          yield* untilMeasured("cluster_writes_present", 4)
          expectRefusal(yield* put(port, "viewer"), "ClusterUnavailable")
          assert.strictEqual((yield* send(port, { client: "viewer", path: read })).status, 200)
          yield* faults.hang(false)
          for (const fiber of [...ours, ...theirs]) assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
          assert.strictEqual((yield* put(port)).status, 200)
          yield* nothingLeft
        })
    )
  })

  withService({
    maxClusterWrites: 1,
    maxQueuedWrites: 3,
    headersTimeout: Duration.millis(300),
    requestTimeout: Duration.millis(400)
  })("with a cluster that does not respond", (it) => {
    it.effect("the time in the queue counts for REQUEST_TIMEOUT: 408", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const { faults } = yield* EmbeddedKube
        yield* faults.hang(true)
        const writes = [...(yield* startWrites(port, 2)), ...(yield* startWrites(port, 2, "viewer"))]
        for (const fiber of writes) assert.strictEqual((yield* Fiber.join(fiber)).status, 408)
        // The write that was sent continues; the queued writes are dropped.
        yield* untilMeasured("cluster_writes_present", 1)
        yield* faults.hang(false)
        yield* nothingLeft
        assert.strictEqual((yield* put(port)).status, 200)
      })
    )
  })
})
