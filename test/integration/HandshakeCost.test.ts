import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit } from "effect"
import { makeHostileChain } from "../../bench/HostileChain.ts"
import { maxIntermediates } from "../../src/identity/ChainDepth.ts"
import { type Authority, authority } from "../support/Authority.ts"
import { service } from "../support/ChangingTls.ts"
import { eventually } from "../support/Eventually.ts"
import { measured } from "../support/Measured.ts"
import { pem } from "../support/Pki.ts"
import { demoSettings, start } from "../support/Process.ts"
import { ask, closed, tcpConnection, tlsConnection } from "../support/Sockets.ts"
import { TestService, withService } from "../support/TestService.ts"

const read = "/namespaces/personal/deployments/nginx/replica_count"

/** Two full records of a ClientHello that announces 60,000 bytes. */
const halfLargeHello = Buffer.concat(
  [Buffer.from([1, 0, 0xea, 0x60, 3, 3]), Buffer.alloc(0)].map((start) =>
    Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0]), start, Buffer.alloc(16_384 - start.length)])
  )
)

/** Of five connections at once, at most one is admitted. */
const isRefused = Effect.fnUntraced(function* (port: number, from: string) {
  const connections = yield* Effect.forEach(
    Array.from({ length: 5 }),
    () => Effect.exit(tlsConnection({ port, from }, "viewer")),
    { concurrency: 5 }
  )
  assert.isAtMost(connections.filter(Exit.isSuccess).length, 1)
})

/** A client below 0, 1, 2, … intermediates. */
const clientsBelow = Effect.fnUntraced(function* (root: Authority, most: number) {
  const clients = [yield* root.issue({ subject: "/CN=below 0" })]
  let issuer = root
  for (let at = 1; at <= most; at++) {
    issuer = yield* issuer.intermediate(`intermediate ${at}`)
    clients.push(yield* issuer.issue({ subject: `/CN=below ${at}` }))
  }
  return clients
})

describe("the length of client certificate chains", () => {
  it.live("identifies clients below up to three intermediates, and none below four", () =>
    Effect.gen(function* () {
      const root = yield* authority("client authority")
      const clients = yield* clientsBelow(root, maxIntermediates + 1)
      const { connect } = yield* service({ ca: root.cert })
      const statuses = yield* Effect.forEach(clients, (client) =>
        Effect.map(
          Effect.flatMap(connect(client), (socket) => ask(socket, read)),
          ({ status }) => status
        )
      )
      assert.deepStrictEqual(statuses, [200, 200, 200, 200, 403])
      // OpenSSL stops before the trusted CA, so it does not find one.
      assert.strictEqual(yield* measured("tls_client_certificates_total", { result: "unknown-authority" }), 1)
    })
  )

  it.live("does the same with TLS_CLIENT_AUTH=require, where the handshake fails", () =>
    Effect.gen(function* () {
      const root = yield* authority("client authority")
      const clients = yield* clientsBelow(root, maxIntermediates + 1)
      const { connect } = yield* service({ ca: root.cert }, { tlsClientAuth: "require" })
      const statuses = yield* Effect.forEach(clients, (client) =>
        Effect.match(
          Effect.flatMap(connect(client), (socket) => ask(socket, read)),
          {
            onSuccess: ({ status }) => status,
            onFailure: () => "failed"
          }
        )
      )
      assert.deepStrictEqual(statuses, [200, 200, 200, 200, "failed"])
    })
  )

  it.live("starts with a warning where Node has no node:ffi", () =>
    Effect.gen(function* () {
      const limited = yield* start({ ...demoSettings, NODE_OPTIONS: "--no-experimental-ffi" })
      yield* limited.printed("Ready")
      assert.include(limited.output(), "Cannot bound the length of client certificate chains")
      const usual = yield* start(demoSettings)
      yield* usual.printed("Ready")
      assert.notInclude(usual.output(), "Cannot bound")
    })
  )
})

for (const tlsClientAuth of ["optional", "require"] as const) {
  withService({ tlsClientAuth })(`an expensive untrusted chain with TLS_CLIENT_AUTH=${tlsClientAuth}`, (it) => {
    it.effect("makes its address wait for new connections, and no other", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const from = "127.0.5.1"
        const before = yield* measured("connections_refused_total", { reason: "untrusted" })
        const open = yield* tlsConnection({ port, from }, "viewer")
        const stalled = yield* tcpConnection({ port, from })
        yield* Effect.exit(tlsConnection({ port, from }, { ...makeHostileChain(), ca: pem("ca.crt") }))
        yield* closed(stalled)
        yield* isRefused(port, from)
        assert.isAbove(yield* measured("connections_refused_total", { reason: "untrusted" }), before)
        assert.strictEqual((yield* ask(open, read)).status, 200)
        const elsewhere = yield* tlsConnection({ port, from: "127.0.5.3" }, "viewer")
        assert.strictEqual((yield* ask(elsewhere, read)).status, 200)
        const admitted = yield* eventually(
          Effect.option(tlsConnection({ port, from }, "viewer")),
          (one) => one._tag === "Some"
        )
        assert.strictEqual(admitted._tag, "Some")
      })
    )
  })
}

withService()("an untrusted certificate without a chain", (it) => {
  it.effect("never makes its address wait", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const from = "127.0.5.5"
      for (let at = 0; at < 50; at++) {
        const socket = yield* tlsConnection({ port, from }, "stranger")
        assert.strictEqual((yield* ask(socket, read)).status, 403)
      }
    })
  )
})

withService({ tlsHandshakeTimeout: Duration.minutes(1) })("a large handshake that stalls", (it) => {
  it.effect("makes its address wait before the handshake times out", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const from = "127.0.5.4"
      const stalled = yield* tcpConnection({ port, from })
      const large = yield* tcpConnection({ port, from })
      large.write(halfLargeHello)
      yield* Effect.all([closed(stalled), closed(large)], { concurrency: "unbounded" })
      yield* isRefused(port, from)
    })
  )
})
