import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { authority } from "../support/Authority.ts"
import { eventually } from "../support/Eventually.ts"
import { service } from "../support/ChangingTls.ts"

/** A running `openssl s_client`. */
interface Session {
  readonly type: (text: string) => Effect.Effect<void>
  /** Waits until the client has printed `text` so many times, or has exited; returns whether it has printed it. */
  readonly printed: (text: string, times?: number) => Effect.Effect<boolean>
  /** Waits for the exit; returns the whole output. */
  readonly ended: Effect.Effect<string>
}

const sClient = (port: number, ...words: ReadonlyArray<string>): Effect.Effect<Session, never, Scope.Scope> =>
  Effect.gen(function* () {
    let output = ""
    let over = false
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...words])),
      (process_) => Effect.sync(() => process_.kill())
    )
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (output += chunk.toString()))
    // The client may exit before it reads its input.
    child.stdin.on("error", () => undefined)
    child.once("close", () => (over = true))
    const state = Effect.sync(() => ({ output, over }))
    return {
      type: (text) => Effect.sync(() => void child.stdin.write(text)),
      printed: (text, times = 1) => {
        const isThere = (output: string) => output.split(text).length > times
        return Effect.map(
          eventually(state, ({ output, over }) => isThere(output) || over),
          ({ output }) => isThere(output)
        )
      },
      ended: Effect.map(
        eventually(state, ({ over }) => over),
        ({ output }) => output
      )
    }
  })

const request = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

/** The output of a handshake by openssl. A request follows, so that messages after the handshake arrive. */
const handshake = (port: number, ...words: ReadonlyArray<string>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const session = yield* sClient(port, ...words)
      yield* Effect.race(session.printed("Verify return code"), session.printed("New, (NONE)"))
      yield* session.type(request)
      return yield* session.ended
    })
  )

describe("TLS downgrades", () => {
  const refusals = [
    ["TLS 1.2", ["-tls1_2"], /protocol version/],
    ["TLS 1.1", ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], /protocol version/],
    ["TLS 1.0", ["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"], /protocol version/],
    ["AES-256-GCM", ["-ciphersuites", "TLS_AES_256_GCM_SHA384"], /handshake failure|protocol version/],
    ["ChaCha20-Poly1305", ["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], /handshake failure|protocol version/],
    ["AES-128-CCM", ["-ciphersuites", "TLS_AES_128_CCM_SHA256"], /handshake failure|protocol version/]
  ] as const

  it.live("refuses older versions and other cipher suites, before and after a change of the files", () =>
    Effect.gen(function* () {
      const root = yield* authority("clients")
      const { change, port } = yield* service({ ca: root.cert })
      const check = Effect.gen(function* () {
        for (const [what, words, alert] of refusals) {
          const output = yield* handshake(port, ...words)
          assert.match(output, alert, what)
          assert.include(output, "New, (NONE), Cipher is (NONE)", what)
        }
        const output = yield* handshake(port)
        assert.include(output, "New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256")
        assert.include(output, "Compression: NONE")
        assert.include(output, "Secure Renegotiation IS NOT supported")
        // The server still requests a client certificate.
        assert.include(output, "CN = clients")
      })
      yield* check
      yield* change({ ca: root.cert + (yield* authority("others")).cert })
      yield* check
    })
  )

  it.live("accepts no early data, which can be replayed", () =>
    Effect.gen(function* () {
      const { port } = yield* service({ ca: (yield* authority("clients")).cert })
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "early-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      const session = join(folder, "session")
      const early = join(folder, "early")
      writeFileSync(early, request)
      const first = yield* handshake(port, "-sess_out", session)
      assert.include(first, "Max Early Data: 0")
      assert.notMatch(first, /Max Early Data: [1-9]/)
      const second = yield* handshake(port, "-sess_in", session, "-early_data", early)
      assert.include(second, "Reused, TLSv1.3")
      assert.include(second, "Early data was not sent")
      // The only response is to the request after the handshake.
      assert.strictEqual(second.split("HTTP/1.1 200").length, 2)
    })
  )

  it.live("refuses renegotiation", () =>
    Effect.gen(function* () {
      const { port } = yield* service({ ca: (yield* authority("clients")).cert })
      const session = yield* sClient(port)
      assert.isTrue(yield* session.printed("Verify return code"))
      yield* session.type("R\n")
      const output = yield* session.ended
      assert.include(output, "RENEGOTIATING")
      assert.match(output, /wrong ssl version/)
    })
  )

  it.live("serves all connections while a client keeps updating its keys", () =>
    Effect.gen(function* () {
      const { port } = yield* service({ ca: (yield* authority("clients")).cert })
      const [flood, other] = yield* Effect.all([sClient(port), sClient(port)])
      for (const session of [flood, other]) assert.isTrue(yield* session.printed("Verify return code"))
      for (let time = 1; time <= 100; time++) {
        yield* flood.type("K\n")
        assert.isTrue(yield* flood.printed("KEYUPDATE", time))
      }
      for (const session of [other, flood]) {
        yield* session.type(request)
        assert.include(yield* session.ended, "HTTP/1.1 200 OK")
      }
    })
  )
})
