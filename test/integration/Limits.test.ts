import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import type { Socket } from "node:net"
import { networkInterfaces } from "node:os"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { send } from "../support/Https.ts"
import { measured, nothingLeft, untilMeasured } from "../support/Measured.ts"
import { ask, closed, exchange, tcpConnection, tlsConnection } from "../support/Sockets.ts"
import { TestService, withService } from "../support/TestService.ts"

const read = "/namespaces/personal/deployments/nginx/replica_count"
const write = "/namespaces/personal/deployments/nginx/replica_count/5"

/** The first bytes of a ClientHello that announces 508 more bytes. */
const halfHello = Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])

const times = <A, E, R>(count: number, effect: (at: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(
    Array.from({ length: count }, (_, at) => at),
    effect,
    { concurrency: 16 }
  )

/** Writes `text` every 50 milliseconds until the server has closed the connection. */
const dribble = (socket: Socket, text: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (socket.destroyed) return Effect.void
    socket.write(text)
    return Effect.andThen(Effect.sleep(50), dribble(socket, text))
  })

/** A write, which takes as long as the cluster. */
const put = (port: number, client: "admin" | "viewer" = "admin") => send(port, { client, method: "PUT", path: write })

withService({ tlsHandshakeTimeout: Duration.millis(300) })("TLS_HANDSHAKE_TIMEOUT", (it) => {
  it.effect("closes a connection that sends nothing, half a ClientHello, or one byte after another", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const silent = yield* tcpConnection({ port })
      const half = yield* tcpConnection({ port })
      half.write(halfHello)
      const slow = yield* tcpConnection({ port })
      slow.write(halfHello)
      yield* Effect.all([closed(silent), closed(half), dribble(slow, "\0")], { concurrency: "unbounded" })
      const secured = yield* tlsConnection({ port }, "viewer")
      // A connection that opens after the handshake is closed at its timeout, and the handshake's would have been before.
      yield* closed(yield* tcpConnection({ port }))
      assert.strictEqual((yield* ask(secured, read)).status, 200)
      secured.destroy()
      yield* nothingLeft
    })
  )
})

withService({
  headersTimeout: Duration.millis(400),
  requestTimeout: Duration.millis(800),
  keepAliveTimeout: Duration.millis(300)
})("request timeouts", (it) => {
  it.effect("a dribbled header block gets 408 and its connection is closed", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      for (const client of ["none", "viewer"] as const) {
        const socket = yield* tlsConnection({ port }, client)
        const text: Array<string> = []
        socket.on("data", (chunk: Buffer) => text.push(chunk.toString("latin1")))
        socket.write("GET /namespaces HTTP/1.1\r\nX-Dribble: ")
        yield* dribble(socket, "x")
        assert.match(text.join(""), /^HTTP\/1\.1 408 /)
      }
      yield* nothingLeft
    })
  )

  it.effect("a connection without a request, or with line ends only, is closed", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const silent = yield* tlsConnection({ port }, "viewer")
      const idle = yield* tlsConnection({ port }, "viewer")
      assert.strictEqual((yield* ask(idle, read)).status, 200)
      yield* Effect.all([closed(silent), dribble(idle, "\r\n")], { concurrency: "unbounded" })
      yield* nothingLeft
    })
  )

  it.effect("a connection with an incomplete or endless body is closed", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const slow = yield* tlsConnection({ port }, "admin")
      slow.write(`PUT ${write} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n`)
      const endless = yield* tlsConnection({ port }, "admin")
      endless.write(`PUT ${write} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`)
      const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`
      yield* Effect.all([dribble(slow, "x"), dribble(endless, chunk)], { concurrency: "unbounded" })
      yield* nothingLeft
    })
  )

  it.effect("after a body within the limit the connection serves the next request", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      for (const body of [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
      ]) {
        const answer = yield* exchange(port, [
          `PUT ${write} HTTP/1.1\r\nHost: x\r\n${body}`,
          `GET ${read} HTTP/1.1\r\nHost: x\r\n${body}`,
          `GET ${read} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
        ])
        assert.deepStrictEqual(answer.match(/HTTP\/1\.1 [0-9]{3}/g), ["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 200"])
      }
    })
  )
})

describe("MAX_CONNECTIONS_PER_ADDRESS", () => {
  withService({ maxConnectionsPerAddress: 8 })("connections from one address", (it) => {
    it.effect("a flood keeps out neither identified clients of the same address nor other addresses", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const before = yield* measured("connections_evicted_total", { reason: "address" })
        const regular = yield* tlsConnection({ port }, "viewer")
        assert.strictEqual((yield* ask(regular, read)).status, 200)
        const flood = yield* times(40, () => tcpConnection({ port }))
        for (const socket of flood) if (!socket.destroyed) socket.write(halfHello)
        yield* untilMeasured("connections_evicted_total", before + 33, { reason: "address" })
        assert.strictEqual(yield* measured("connections_open"), 8)
        const newcomer = yield* tlsConnection({ port }, "viewer")
        assert.strictEqual((yield* ask(newcomer, read)).status, 200)
        const elsewhere = yield* tlsConnection({ port, from: "127.0.0.9" }, "none")
        assert.strictEqual((yield* ask(elsewhere, "/livez")).status, 200)
        assert.strictEqual(yield* measured("connections_open"), 9)
        assert.strictEqual(yield* measured("connection_addresses"), 2)
        assert.strictEqual((yield* ask(regular, read)).status, 200)
        for (const socket of [...flood, regular, newcomer, elsewhere]) socket.destroy()
        yield* nothingLeft
      })
    )
  })

  const addresses = Object.values(networkInterfaces()).flatMap((one) => one ?? [])
  const families = addresses.some(({ address }) => address === "::1") ? ["127.0.0.1", "::1"] : ["127.0.0.1"]
  withService({ host: families.length === 2 ? "::" : "127.0.0.1", maxConnectionsPerAddress: 4 })(
    "addresses of both families",
    (it) => {
      it.effect("IPv4-mapped and IPv6 addresses have limits of their own", () =>
        Effect.gen(function* () {
          const { port } = yield* TestService
          for (const [at, host] of families.entries()) {
            const before = yield* measured("connections_evicted_total", { reason: "address" })
            yield* times(10, () => tcpConnection({ port, host }))
            yield* untilMeasured("connections_evicted_total", before + 6, { reason: "address" })
            assert.strictEqual(yield* measured("connections_open"), 4 * (at + 1))
            assert.strictEqual(yield* measured("connection_addresses"), at + 1)
          }
          for (const host of families) {
            const identified = yield* tlsConnection({ port, host }, "viewer")
            assert.strictEqual((yield* ask(identified, read)).status, 200)
          }
        })
      )
    }
  )
})

withService({ maxConnections: 8 })("MAX_CONNECTIONS", (it) => {
  it.effect("a flood from many addresses does not keep out identified clients", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const flood = yield* times(60, (at) => tcpConnection({ port, from: `127.0.2.${1 + at}` }))
      yield* untilMeasured("connections_open", 8)
      const dribblers = yield* times(20, (at) =>
        Effect.option(tlsConnection({ port, from: `127.0.3.${1 + at}` }, "none"))
      )
      yield* untilMeasured("connections_open", 8)
      const identified = yield* Effect.forEach([1, 2, 3], () => tlsConnection({ port }, "viewer"))
      const more = yield* times(20, (at) => tcpConnection({ port, from: `127.0.4.${1 + at}` }))
      for (const socket of identified) assert.strictEqual((yield* ask(socket, read)).status, 200)
      for (const socket of [...flood, ...more, ...identified]) socket.destroy()
      for (const dribbler of dribblers) if (dribbler._tag === "Some") dribbler.value.destroy()
      yield* nothingLeft
    })
  )

  it.effect("closes the connection that has been idle the longest if all others are identified", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const clients = ["viewer", "viewer", "viewer", "viewer", "admin", "admin", "admin"] as const
      const pool = yield* Effect.forEach(clients, (client) => tlsConnection({ port }, client))
      for (const socket of pool) assert.strictEqual((yield* ask(socket, read)).status, 200)
      const [first, second, ...others] = pool
      assert.isDefined(first)
      assert.isDefined(second)
      assert.strictEqual((yield* ask(first, read)).status, 200)
      const newcomer = yield* tlsConnection({ port }, "nobody")
      yield* closed(second)
      for (const socket of [newcomer, first, ...others]) assert.strictEqual((yield* ask(socket, read)).status, 200)
      for (const socket of [newcomer, ...pool]) socket.destroy()
      yield* nothingLeft
    })
  )

  it.effect("keeps places for handshakes and probes while identified clients have requests in flight", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { faults } = yield* EmbeddedKube
      const before = yield* measured("connections_refused_total", { reason: "total" })
      yield* faults.hang(true)
      const writes = yield* Effect.forEach(
        ["viewer", "viewer", "viewer", "viewer", "admin", "admin", "admin"] as const,
        (client) => Effect.forkChild(put(port, client))
      )
      yield* untilMeasured("cluster_writes_present", 7)
      for (let at = 0; at < 5; at++) yield* closed(yield* tlsConnection({ port }, "nobody"))
      assert.strictEqual((yield* measured("connections_refused_total", { reason: "total" })) - before, 5)
      assert.strictEqual((yield* send(port, { client: "none", path: "/livez" })).status, 200)
      assert.strictEqual(yield* measured("cluster_writes_present"), 7)
      yield* faults.hang(false)
      for (const fiber of writes) assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      yield* nothingLeft
    })
  )
})

withService({ maxConnections: 16, maxConnectionsPerUser: 4 })("MAX_CONNECTIONS_PER_USER", (it) => {
  it.effect("closes the user's connection that has been idle the longest, and none of other users", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const before = yield* measured("connections_evicted_total", { reason: "user" })
      const other = yield* tlsConnection({ port }, "admin")
      const pool = yield* Effect.forEach(Array.from({ length: 4 }), (_, at) =>
        tlsConnection({ port, from: `127.0.5.${1 + at}` }, "viewer")
      )
      for (const socket of pool) assert.strictEqual((yield* ask(socket, read)).status, 200)
      const newcomer = yield* tlsConnection({ port }, "viewer")
      const [first, ...others] = pool
      assert.isDefined(first)
      yield* closed(first)
      for (const socket of [newcomer, other, ...others]) assert.strictEqual((yield* ask(socket, read)).status, 200)
      assert.strictEqual((yield* measured("connections_evicted_total", { reason: "user" })) - before, 1)
      for (const socket of [newcomer, other, ...pool]) socket.destroy()
      yield* nothingLeft
    })
  )

  it.effect("refuses a new connection rather than close one with a request in flight", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { faults } = yield* EmbeddedKube
      const before = yield* measured("connections_refused_total", { reason: "user" })
      yield* faults.hang(true)
      const writes = yield* Effect.forEach(Array.from({ length: 4 }), () => Effect.forkChild(put(port)))
      yield* untilMeasured("cluster_writes_present", 4)
      for (let at = 0; at < 5; at++) yield* closed(yield* tlsConnection({ port }, "admin"))
      assert.strictEqual((yield* measured("connections_refused_total", { reason: "user" })) - before, 5)
      assert.strictEqual((yield* send(port, { client: "viewer", path: read })).status, 200)
      assert.strictEqual(yield* measured("cluster_writes_present"), 4)
      yield* faults.hang(false)
      for (const fiber of writes) assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      yield* nothingLeft
    })
  )
})
