import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { TLSSocket } from "node:tls"
import { type Authority, authority, type Issued } from "../support/Authority.ts"
import { service } from "../support/ChangingTls.ts"
import { ask, closed, ticket } from "../support/Sockets.ts"

const status = (socket: TLSSocket) => Effect.map(ask(socket, "/namespaces"), ({ status }) => status)

const refusedAndClosed = Effect.fnUntraced(function* (socket: TLSSocket) {
  const answer = yield* ask(socket, "/namespaces")
  assert.strictEqual(answer.status, 403)
  assert.include(answer.head, "connection: close")
  yield* closed(socket)
})

const lists = (authorities: ReadonlyArray<Authority>, revoked: ReadonlyArray<Issued> = []) =>
  Effect.map(
    Effect.forEach(authorities, (one) => one.revocationList({ revoked })),
    (texts) => texts.join("")
  )

describe("a change of the client trust applies to open connections", () => {
  it.live("a new revocation list refuses the next request of a revoked client, and no other", () =>
    Effect.gen(function* () {
      const root = yield* authority("client authority")
      const inner = yield* root.intermediate("inner authority")
      const [alice, bob] = yield* Effect.all([root.issue({ subject: "/CN=alice" }), root.issue({ subject: "/CN=bob" })])
      const carol = yield* inner.issue({ subject: "/CN=carol" })
      const { change, connect } = yield* service({ ca: root.cert, crl: yield* lists([root, inner]) })

      const open = yield* Effect.forEach([alice, bob, carol], (client) => connect(client))
      const tickets = yield* Effect.forEach(open, ticket, { concurrency: "unbounded" })
      for (const socket of open) assert.strictEqual(yield* status(socket), 200)
      // A resumed session does not carry the intermediate certificate that carol sent in the first handshake.
      const resumed = yield* Effect.forEach([alice, bob, carol], (client, at) => connect(client, tickets[at]))
      for (const socket of resumed) {
        assert.isTrue(socket.isSessionReused())
        assert.strictEqual(yield* status(socket), 200)
      }

      yield* change({
        ca: root.cert,
        crl: (yield* root.revocationList({ revoked: [alice] })) + (yield* lists([inner]))
      })
      for (const sockets of [open, resumed]) {
        const [ofAlice, ...others] = sockets
        if (ofAlice !== undefined) yield* refusedAndClosed(ofAlice)
        for (const socket of others) assert.strictEqual(yield* status(socket), 200)
      }
      for (const session of [undefined, tickets[0]]) {
        const again = yield* connect(alice, session)
        assert.isFalse(again.isSessionReused())
        assert.strictEqual(yield* status(again), 403)
      }

      // Revoking an authority revokes the certificates that it issued.
      yield* change({
        ca: root.cert,
        crl: (yield* lists([inner])) + (yield* root.revocationList({ revoked: [inner] }))
      })
      for (const [, ofBob, ofCarol] of [open, resumed]) {
        if (ofBob !== undefined) assert.strictEqual(yield* status(ofBob), 200)
        if (ofCarol !== undefined) yield* refusedAndClosed(ofCarol)
      }
    })
  )

  it.live("an authority is removed and added again", () =>
    Effect.gen(function* () {
      const [first, second] = yield* Effect.all([authority("first"), authority("second")])
      const [alice, bob] = yield* Effect.all([
        first.issue({ subject: "/CN=alice" }),
        second.issue({ subject: "/CN=bob" })
      ])
      const both = first.cert + second.cert
      const { change, connect } = yield* service({ ca: both })
      const ofAlice = yield* connect(alice)
      const ofBob = yield* connect(bob)
      const quiet = yield* connect(bob)
      const session = yield* ticket(quiet)
      assert.strictEqual(yield* status(ofAlice), 200)
      assert.strictEqual(yield* status(ofBob), 200)

      yield* change({ ca: first.cert })
      yield* refusedAndClosed(ofBob)
      assert.strictEqual(yield* status(ofAlice), 200)
      const resumed = yield* connect(bob, session)
      assert.isFalse(resumed.isSessionReused())
      assert.strictEqual(yield* status(resumed), 403)

      yield* change({ ca: both })
      assert.strictEqual(yield* status(ofAlice), 200)
      assert.strictEqual(yield* status(quiet), 200)
      // The handshake of this connection failed against the old authorities; a new one uses the current authorities.
      yield* refusedAndClosed(resumed)
      assert.strictEqual(yield* status(yield* connect(bob)), 200)
    })
  )

  it.live("a client whose certificate was never valid keeps its connection and gets 403", () =>
    Effect.gen(function* () {
      const [first, other] = yield* Effect.all([authority("first"), authority("other")])
      const stranger = yield* other.issue({ subject: "/CN=stranger" })
      const { connect } = yield* service({ ca: first.cert })
      const socket = yield* connect(stranger)
      for (let time = 0; time < 2; time++) {
        const answer = yield* ask(socket, "/namespaces")
        assert.strictEqual(answer.status, 403)
        assert.notInclude(answer.head, "connection: close")
      }
    })
  )

  it.live("an expired revocation list refuses its authority's clients until a newer list arrives", () =>
    Effect.gen(function* () {
      const root = yield* authority("client authority")
      const alice = yield* root.issue({ subject: "/CN=alice" })
      const { change, connect } = yield* service({ ca: root.cert, crl: yield* root.revocationList() })
      const [before, spare] = yield* Effect.all([connect(alice), connect(alice)])
      assert.strictEqual(yield* status(before), 200)
      assert.strictEqual(yield* status(spare), 200)
      const nextUpdate = Math.floor(Date.now() / 1000) + 3
      yield* change({ ca: root.cert, crl: yield* root.revocationList({ nextUpdate }) })
      const session = yield* ticket(yield* connect(alice))
      // OpenSSL compares the list with the system time, which no test clock moves.
      yield* Effect.sleep(Math.max(0, nextUpdate * 1000 - Date.now()))
      yield* refusedAndClosed(before)
      const resumed = yield* connect(alice, session)
      assert.isTrue(resumed.isSessionReused())
      assert.strictEqual(yield* status(resumed), 403)
      assert.strictEqual(yield* status(yield* connect(alice)), 403)

      yield* change({ ca: root.cert, crl: yield* root.revocationList() })
      assert.strictEqual(yield* status(spare), 200)
      assert.strictEqual(yield* status(yield* connect(alice)), 200)
    })
  )

  it.live("TLS_CLIENT_AUTH=require: an open connection gets 403 and is closed, a new handshake fails", () =>
    Effect.gen(function* () {
      const root = yield* authority("client authority")
      const [alice, bob] = yield* Effect.all([root.issue({ subject: "/CN=alice" }), root.issue({ subject: "/CN=bob" })])
      const { change, connect } = yield* service(
        { ca: root.cert, crl: yield* root.revocationList() },
        { tlsClientAuth: "require" }
      )
      const ofAlice = yield* connect(alice)
      const session = yield* ticket(ofAlice)
      const ofBob = yield* connect(bob)
      assert.strictEqual(yield* status(ofAlice), 200)
      yield* change({ ca: root.cert, crl: yield* root.revocationList({ revoked: [alice] }) })
      yield* refusedAndClosed(ofAlice)
      assert.strictEqual(yield* status(ofBob), 200)
      for (const ticketOrNone of [undefined, session]) {
        const outcome = yield* Effect.flatMap(connect(alice, ticketOrNone), status).pipe(
          Effect.as("answered"),
          Effect.catch((error) => Effect.succeed(error.message))
        )
        assert.match(outcome, /closed after|alert|ECONNRESET/)
      }
    })
  )
})
