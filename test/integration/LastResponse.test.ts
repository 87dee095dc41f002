/** A response that ends its connection: no request after it is carried out, because it would get no response. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { eventually } from "../support/Eventually.ts"
import { send } from "../support/Https.ts"
import { untilMeasured } from "../support/Measured.ts"
import { closed, tlsConnection } from "../support/Sockets.ts"
import { TestService, withService } from "../support/TestService.ts"

const put = (deployment: string, count: number, ...fields: ReadonlyArray<string>) =>
  [`PUT /namespaces/personal/deployments/${deployment}/replica_count/${count} HTTP/1.1`, "Host: x", ...fields].join(
    "\r\n"
  ) + "\r\n\r\n"

/** A connection of the client `admin`, and the status lines that it has received. */
const connection = Effect.gen(function* () {
  const { port } = yield* TestService
  const socket = yield* tlsConnection({ port }, "admin")
  // Otherwise a packet waits until the one before has been acknowledged.
  socket.setNoDelay(true)
  let text = ""
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")))
  return { socket, text: () => text, statuses: () => text.match(/HTTP\/1\.1 [0-9]{3}/g) ?? [] }
})

/** The writes that the cluster has received, by deployment. */
const writes = Effect.gen(function* () {
  const { requests } = yield* EmbeddedKube
  return (yield* requests).filter(({ verb }) => verb === "patch").map(({ path }) => path.split("/").at(-2))
})

/** Waits until the service has read what was written before to other connections. */
const laterExchange = Effect.gen(function* () {
  const { port } = yield* TestService
  assert.strictEqual((yield* send(port, { client: "viewer", path: "/livez" })).status, 200)
})

const begin = Effect.gen(function* () {
  const { clearRequests, faults } = yield* EmbeddedKube
  yield* clearRequests
  yield* faults.hang(true)
  return yield* Effect.addFinalizer(() => faults.reset)
})

withService({ maxInFlight: 4 })("after a response that ends the connection", (it) => {
  describe("no request is carried out", () => {
    for (const fields of [
      ["Connection: upgrade", "Upgrade: websocket"],
      ["Connection: keep-alive, Upgrade", "Upgrade: h2c"],
      ["Connection: upgrade", "Upgrade: websocket", "Content-Length: 3"]
    ]) {
      it.effect(`that follows a request for an upgrade in a later packet (${fields.join("; ")})`, () =>
        Effect.gen(function* () {
          yield* begin
          const { faults } = yield* EmbeddedKube
          const { socket, statuses, text } = yield* connection
          socket.write(`${put("nginx", 21, ...fields)}${fields.length > 2 ? "abc" : ""}`)
          yield* eventually(writes, (found) => assert.deepStrictEqual(found, ["nginx"]))
          socket.write(put("kafka", 22))
          yield* laterExchange
          socket.write(put("resource-access", 23))
          yield* laterExchange
          yield* faults.hang(false)
          yield* closed(socket)
          assert.deepStrictEqual(statuses(), ["HTTP/1.1 200"])
          assert.match(text(), /connection: close/i)
          yield* untilMeasured("requests_in_flight", 0)
          assert.deepStrictEqual(yield* writes, ["nginx"])
        })
      )
    }

    it.effect("that follows a request with a body, refused because too many are in flight", () =>
      Effect.gen(function* () {
        yield* begin
        const { faults } = yield* EmbeddedKube
        const first = yield* connection
        const other = yield* connection
        first.socket.write(put("nginx", 21))
        other.socket.write(put("kafka", 21))
        yield* eventually(writes, (found) => assert.sameMembers([...found], ["nginx", "kafka"]))
        first.socket.write(`${put("nginx", 22, "Content-Length: 3")}abc`)
        yield* laterExchange
        other.socket.destroy()
        yield* untilMeasured("requests_in_flight", 1)
        first.socket.write(put("resource-access", 23))
        yield* laterExchange
        yield* faults.hang(false)
        yield* closed(first.socket)
        assert.deepStrictEqual(first.statuses(), ["HTTP/1.1 200", "HTTP/1.1 503"])
        yield* untilMeasured("requests_in_flight", 0)
        assert.notInclude(yield* writes, "resource-access")
      })
    )
  })
})

withService()("when the shutdown begins", (it) => {
  it.effect("no request is carried out behind a response that ends the connection", () =>
    Effect.gen(function* () {
      yield* begin
      const { faults } = yield* EmbeddedKube
      const { lifecycle } = yield* TestService
      const { socket, statuses } = yield* connection
      socket.write(put("nginx", 21))
      yield* eventually(writes, (found) => assert.deepStrictEqual(found, ["nginx"]))
      yield* lifecycle.beginShutdown
      // The head of its response is written, and waits for the response to the write before it.
      socket.write("GET /namespaces HTTP/1.1\r\nHost: x\r\n\r\n")
      yield* laterExchange
      socket.write(put("kafka", 22))
      yield* laterExchange
      yield* faults.hang(false)
      yield* closed(socket)
      assert.deepStrictEqual(statuses(), ["HTTP/1.1 200", "HTTP/1.1 200"])
      yield* untilMeasured("requests_in_flight", 0)
      assert.deepStrictEqual(yield* writes, ["nginx"])
    })
  )

  it.effect("each pipelined request that is carried out gets its response", () =>
    Effect.gen(function* () {
      yield* begin
      const { faults } = yield* EmbeddedKube
      const { lifecycle } = yield* TestService
      const { socket, statuses, text } = yield* connection
      socket.write(put("nginx", 21) + put("kafka", 22))
      yield* eventually(writes, (found) => assert.sameMembers([...found], ["nginx", "kafka"]))
      yield* lifecycle.beginShutdown
      yield* faults.hang(false)
      yield* closed(socket)
      assert.deepStrictEqual(statuses(), ["HTTP/1.1 200", "HTTP/1.1 200"])
      assert.match(text(), /connection: close/i)
    })
  )
})
