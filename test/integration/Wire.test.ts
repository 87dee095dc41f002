import { assert, describe } from "@effect/vitest"
import { Arbitrary, Duration, Effect, Schema } from "effect"
import { connect } from "node:tls"
import { send } from "../support/Https.ts"
import { clientOptions } from "../support/Pki.ts"
import * as Sockets from "../support/Sockets.ts"
import { TestService, withService } from "../support/TestService.ts"

const exchange = (pieces: ReadonlyArray<string | Buffer>, options: { readonly pauseMillis?: number } = {}) =>
  Effect.flatMap(TestService, ({ port }) => Sockets.exchange(port, pieces, options))

/** Asserts that the first response in `text` is this problem and closes the connection. */
const expectProblem = (text: string, status: number, code: string) => {
  const [head = "", body = ""] = text.split("\r\n\r\n")
  assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `), text)
  assert.match(head, /content-type: application\/problem\+json/i)
  assert.match(head, /x-request-id: \S+/i)
  assert.match(head, /connection: close/i)
  const problem: Record<string, unknown> = JSON.parse(body)
  assert.strictEqual(problem["code"], code)
  assert.strictEqual(problem["status"], status)
}

withService({ headersTimeout: Duration.millis(400), requestTimeout: Duration.millis(800) })(
  "requests that Node's parser rejects",
  (it) => {
    describe("400 BadRequest for malformed HTTP", () => {
      for (const [name, text] of [
        ["garbage", "this is not HTTP\r\n\r\n"],
        ["no version", "GET /namespaces\r\n\r\n"],
        ["a bad header", "GET /namespaces HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n"],
        ["a NUL byte in a header", "GET /namespaces HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n"],
        ["a space in the target", "GET /name spaces HTTP/1.1\r\nHost: x\r\n\r\n"],
        ["an invalid content length", "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"],
        [
          "both a content length and chunks",
          "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ],
        ["TLS within TLS", Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])]
      ] as const) {
        it.effect(name, () => Effect.map(exchange([text]), (answer) => expectProblem(answer, 400, "BadRequest")))
      }
      it.effect("HTTP/1.1 without Host", () =>
        Effect.gen(function* () {
          const answer = yield* exchange(["GET /namespaces HTTP/1.1\r\nConnection: close\r\n\r\n"])
          expectProblem(answer, 400, "BadRequest")
        })
      )
      it.effect("a Content-Length beyond the limit", () =>
        Effect.gen(function* () {
          const answer = yield* exchange([
            "PUT /namespaces/personal/deployments/nginx/replica_count/3 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n"
          ])
          expectProblem(answer, 400, "BadRequest")
        })
      )
    })

    it.effect("404 UnknownEndpoint for CONNECT", () =>
      Effect.map(exchange(["CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"]), (answer) =>
        expectProblem(answer, 404, "UnknownEndpoint")
      )
    )

    it.effect("an unknown expectation and an upgrade get the normal response", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const expecting = yield* send(port, {
          client: "admin",
          path: "/namespaces",
          headers: { expect: "the-spanish-inquisition" }
        })
        assert.strictEqual(expecting.status, 200)
        const upgrading = yield* exchange([
          "GET /namespaces HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n"
        ])
        assert.match(upgrading, /^HTTP\/1\.1 200 /)
      })
    )

    it.effect("a request for an upgrade closes the connection, and the bytes after it are no request", () =>
      Effect.gen(function* () {
        const put = "PUT /namespaces/personal/deployments/nginx/replica_count/77 HTTP/1.1\r\nHost: x\r\n\r\n"
        for (const target of ["/namespaces", "/livez", "/namespaces?query", "/nowhere"]) {
          for (const fields of ["Connection: upgrade", "Connection: keep-alive, Upgrade"]) {
            const upgrade = `GET ${target} HTTP/1.1\r\nHost: x\r\n${fields}\r\nUpgrade: h2c\r\n\r\n`
            for (const pieces of [[upgrade + put], [upgrade, put]]) {
              const answer = yield* exchange(pieces)
              assert.strictEqual(answer.match(/HTTP\/1\.1 [0-9]{3}/g)?.length, 1, answer)
              assert.match(answer, /connection: close/i)
            }
          }
        }
        const count = yield* exchange([
          "GET /namespaces/personal/deployments/nginx/replica_count HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ])
        assert.notInclude(count, ":77")
      })
    )

    it.effect("an Upgrade field that the Connection field does not name is ignored", () =>
      Effect.gen(function* () {
        const answer = yield* exchange([
          "GET /namespaces HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ])
        assert.deepStrictEqual(answer.match(/HTTP\/1\.1 [0-9]{3}/g), ["HTTP/1.1 200", "HTTP/1.1 200"])
      })
    )

    it.effect("408 RequestTimeout for headers that arrive too slowly", () =>
      Effect.gen(function* () {
        expectProblem(yield* exchange(["GET /namespaces HT"]), 408, "RequestTimeout")
        expectProblem(
          yield* exchange(["GET /namespaces HTTP/1.1\r\n", "Host: x\r\n", "A: 1\r\n", "B: 2\r\n", "C: 3\r\n"], {
            pauseMillis: 300
          }),
          408,
          "RequestTimeout"
        )
      })
    )

    it.effect("414 UriTooLong when the target overflows the parser's buffer", () =>
      Effect.gen(function* () {
        for (const length of [11_000, 16_384, 30_000, 200_000]) {
          expectProblem(yield* exchange([`GET /${"x".repeat(length)} HTTP/1.1\r\nHost: x\r\n\r\n`]), 414, "UriTooLong")
        }
        expectProblem(
          yield* exchange(
            [`GET /${"x".repeat(5000)}`, "x".repeat(3000), `${"x".repeat(4000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
            {
              pauseMillis: 30
            }
          ),
          414,
          "UriTooLong"
        )
      })
    )

    it.effect("431 HeaderFieldsTooLarge when the header block overflows the parser's buffer", () =>
      Effect.gen(function* () {
        for (const length of [11_000, 16_384, 30_000, 200_000]) {
          expectProblem(
            yield* exchange([`GET /namespaces HTTP/1.1\r\nHost: x\r\nX-Large: ${"x".repeat(length)}\r\n\r\n`]),
            431,
            "HeaderFieldsTooLarge"
          )
        }
        expectProblem(
          yield* exchange(
            ["GET /namespaces HTTP/1.1\r\nHost: x\r\n", `X: ${"x".repeat(6000)}`, `${"x".repeat(6000)}\r\n\r\n`],
            { pauseMillis: 30 }
          ),
          431,
          "HeaderFieldsTooLarge"
        )
      })
    )
  }
)

withService({
  headersTimeout: Duration.millis(300),
  requestTimeout: Duration.millis(600),
  keepAliveTimeout: Duration.millis(300)
})("hostile input", (it) => {
  const pick = (...words: ReadonlyArray<string>) => Arbitrary.schema(Schema.Literals(words))
  const number = (minimum: number, maximum: number) =>
    Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))
  const evil = Arbitrary.all([
    number(0, 3),
    pick("../", "..%2f", "%2e%2e/", "..\\", "%00", "\0", "%c0%ae", "%ff", "%25%32%65", "%u0041", "ANY"),
    Arbitrary.schema(Schema.String.check(Schema.isMaxLength(20))),
    number(100, 20_000),
    Arbitrary.array(number(0, 255), { maxLength: 40 })
  ]).pipe(
    Arbitrary.map(([kind, word, text, length, bytes]) =>
      kind === 0 ? word : kind === 1 ? text : kind === 2 ? "A".repeat(length) : Buffer.from(bytes).toString("latin1")
    )
  )
  const hostile = Arbitrary.all([
    pick("GET", "PUT", "HEAD", "POST", "BREW", "get", "CONNECT"),
    pick("/", "/namespaces/", "/namespaces/personal/deployments/", "*", "http://x/", "//", ""),
    Arbitrary.array(evil, { maxLength: 4 }),
    Arbitrary.array(
      Arbitrary.all([pick("X", "Host", "Content-Length", "Transfer-Encoding", "Expect", "Connection", "Cookie"), evil]),
      { maxLength: 4 }
    ),
    pick("\r\n", "\r\n\r\n", "\r\n\r\nGET / HTTP/1.1\r\n\r\n", "\r\n\r\n\0\0garbage", "\n\n", "")
  ]).pipe(
    Arbitrary.map(([method, front, rest, headers, end]) =>
      Buffer.from(
        `${method} ${front}${rest.join("/")} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")}${end}`,
        "latin1"
      )
    )
  )

  it.effect(
    "500 generated requests get a documented status or a closed connection, and the server keeps serving",
    () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const allowed = new Set([200, 400, 401, 403, 404, 408, 410, 414, 429, 431, 503])
        const inputs = yield* Arbitrary.sampleEffect(hostile, { count: 500 })
        yield* Effect.forEach(
          inputs,
          (bytes, index) =>
            Effect.gen(function* () {
              const dribbled = index % 10 === 0 ? [bytes.subarray(0, 5), bytes.subarray(5)] : [bytes]
              const answer = yield* Sockets.exchange(port, dribbled, {
                pauseMillis: index % 10 === 0 ? 5 : 0,
                // The others leave their connection open, as an attacker does.
                halfClose: index % 5 !== 0
              }).pipe(Effect.catch(() => Effect.succeed("")))
              for (const [, status] of answer.matchAll(/^HTTP\/1\.1 ([0-9]{3}) /gm)) {
                assert.isTrue(allowed.has(Number(status)), `${status} for ${JSON.stringify(bytes.toString("latin1"))}`)
              }
            }),
          { concurrency: 32, discard: true }
        )
        const after = yield* send(port, { client: "admin", path: "/namespaces" })
        assert.strictEqual(after.status, 200)
      }),
    60_000
  )
})

withService()("transport", (it) => {
  it.effect("uses TLS 1.3 and TLS_AES_128_GCM_SHA256", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const socket = yield* Sockets.tlsConnection({ port }, "admin")
      assert.strictEqual(socket.getProtocol(), "TLSv1.3")
      assert.strictEqual(socket.getCipher().name, "TLS_AES_128_GCM_SHA256")
    })
  )
  const refusedWith = (options: object) =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      return yield* Effect.callback<string>((resume) => {
        const socket = connect({ host: "127.0.0.1", port, ...clientOptions("admin"), ...options })
        socket.once("secureConnect", () => {
          resume(Effect.succeed("connected"))
          socket.destroy()
        })
        socket.once("error", (error) => resume(Effect.succeed(error.message)))
      })
    })
  it.effect("refuses an older TLS version and another cipher suite", () =>
    Effect.gen(function* () {
      assert.match(yield* refusedWith({ minVersion: "TLSv1.2", maxVersion: "TLSv1.2" }), /protocol version|alert/i)
      assert.match(yield* refusedWith({ ciphers: "TLS_AES_256_GCM_SHA384", minVersion: "TLSv1.3" }), /handshake|alert/i)
      assert.strictEqual(yield* refusedWith({}), "connected")
    })
  )
})
