import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { Authorization, refused } from "../../src/authorization/Authorization.ts"
import { ClusterUnavailable, type Unauthorized } from "../../src/contract/Problems.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { authority } from "../support/Authority.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { measured, untilMeasured } from "../support/Measured.ts"
import { exchange, tlsConnection } from "../support/Sockets.ts"
import { service } from "../support/ChangingTls.ts"
import { openStream } from "../support/EventStreams.ts"
import { eventually } from "../support/Eventually.ts"
import { type Answer, send } from "../support/Https.ts"
import type { Party } from "../support/Pki.ts"
import { TestService, withService } from "../support/TestService.ts"

const nginx = "/namespaces/personal/deployments/nginx/replica_count"
const routes = `${nginx}?routes`
const count = (replicas: number) => `{"namespace":"personal","deployment":"nginx","replica_count":${replicas}}`

const wait = (port: number, path: string, etag: string, seconds: number, client: Party = "viewer") =>
  send(port, { client, path, headers: { "if-none-match": etag, prefer: `wait=${seconds}` } })

const scale = (replicas: number) =>
  Effect.flatMap(EmbeddedKube, ({ cluster }) => Effect.orDie(cluster.scale("personal", "nginx", replicas)))

withService()("a read with `Prefer: wait`", (it) => {
  for (const path of [nginx, routes]) {
    it.effect(`is answered with 200 when the count changes (${path === nginx ? "read path" : "routes"})`, () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        yield* scale(12)
        yield* eventually(send(port, { client: "viewer", path: nginx }), ({ body }) => body === count(12))
        const waiting = yield* Effect.forkChild(wait(port, path, '"12"', 30))
        const other = yield* Effect.forkChild(wait(port, path.replace("nginx", "kafka"), '"3"', 2))
        yield* Effect.sleep(300)
        yield* scale(13)
        const answer = yield* Fiber.join(waiting)
        assert.strictEqual(answer.status, 200)
        assert.strictEqual(answer.body, count(13))
        assert.strictEqual(answer.headers["etag"], '"13"')
        assert.strictEqual(answer.headers["preference-applied"], "wait=30")
        const unconcerned = yield* Fiber.join(other)
        assert.strictEqual(unconcerned.status, 304)
        assert.strictEqual(unconcerned.headers["etag"], '"3"')
        assert.strictEqual(unconcerned.headers["preference-applied"], "wait=2")
        assert.strictEqual(unconcerned.body, "")
      })
    )

    it.effect(`is answered with 410 when the deployment goes (${path === nginx ? "read path" : "routes"})`, () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const { cluster } = yield* EmbeddedKube
        yield* cluster.putDeployment("default", "brief", 4)
        const brief = path.replace("personal", "default").replace("nginx", "brief")
        yield* eventually(send(port, { client: "viewer", path: brief }), ({ status }) => status === 200)
        const waiting = yield* Effect.forkChild(wait(port, brief, '"4"', 30))
        yield* Effect.sleep(300)
        yield* cluster.deleteDeployment("default", "brief")
        const answer = yield* Fiber.join(waiting)
        assert.strictEqual(answer.status, 410)
        assert.include(answer.body, '"NotFound"')
      })
    )

    it.effect(`is answered at once without a matching tag (${path === nginx ? "read path" : "routes"})`, () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        yield* scale(12)
        yield* eventually(send(port, { client: "viewer", path: nginx }), ({ body }) => body === count(12))
        for (const headers of [{ prefer: "wait=30" }, { "if-none-match": '"11"', prefer: "wait=30" }]) {
          const answer = yield* send(port, { client: "viewer", path, headers })
          assert.strictEqual(answer.status, 200)
          assert.isUndefined(answer.headers["preference-applied"])
        }
      })
    )
  }

  it.effect("that a client gives up leaves no waiter behind", () =>
    Effect.gen(function* () {
      const { lifecycle, port } = yield* TestService
      for (const path of [nginx, routes]) {
        yield* Effect.timeoutOption(wait(port, path, "*", 60), 300)
      }
      assert.isFalse(lifecycle.isShuttingDown())
      yield* scale(20)
      yield* eventually(send(port, { client: "viewer", path: nginx }), ({ body }) => body === count(20))
    })
  )
})

withService({ maxWait: Duration.seconds(1) })("MAX_WAIT", (it) => {
  it.effect("bounds the time of a wait, and the response says so", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const answer = yield* wait(port, nginx, "*", 3600)
      assert.strictEqual(answer.status, 304)
      assert.strictEqual(answer.headers["preference-applied"], "wait=1")
    })
  )
})

withService({
  responseTimeout: Duration.seconds(1),
  requestTimeout: Duration.seconds(1),
  headersTimeout: Duration.seconds(1)
})("waits and streams", (it) => {
  it.effect("outlive the time limits of requests and responses", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      yield* scale(12)
      yield* eventually(send(port, { client: "viewer", path: nginx }), ({ body }) => body === count(12))
      const streams = yield* Effect.forEach([nginx, routes], (path) => openStream(port, { client: "viewer", path }))
      const answers = yield* Effect.all([wait(port, nginx, '"12"', 5), wait(port, routes, '"12"', 5)], {
        concurrency: 2
      })
      assert.deepStrictEqual(
        answers.map(({ status }) => status),
        [304, 304]
      )
      yield* scale(13)
      for (const stream of streams) assert.deepInclude(yield* stream.event(1), { event: "change", id: '"13"' })
    }).pipe(Effect.scoped)
  )

  it.effect("a consumer that stops reading is ended, while others get every state", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { cluster } = yield* EmbeddedKube
      // A snapshot of 6 MB: more than the sockets buffer.
      const large = "/namespaces/default/deployments/ANY/replica_count"
      const name = (index: number) => `deployment-${"x".repeat(220)}-${index}`
      yield* Effect.forEach(
        Array.from({ length: 20_000 }, (_, index) => name(index)),
        (one) => cluster.putDeployment("default", one, 1)
      )
      yield* eventually(send(port, { client: "viewer", path: large }), ({ body }) => body.includes(name(19_999)))
      const stalled = yield* openStream(port, { client: "viewer", path: large })
      stalled.pause()
      const other = yield* openStream(port, { client: "viewer", path: nginx })
      yield* other.event(0)
      for (let nth = 1; nth <= 5; nth++) {
        yield* cluster.scale("default", name(nth), 7)
        yield* scale(100 + nth)
        assert.deepInclude(yield* other.event(nth), { event: "change", id: `"${100 + nth}"` })
      }
      yield* Effect.sleep(3000)
      stalled.resume()
      yield* stalled.ended
      // Cut off within its snapshot.
      assert.deepStrictEqual(stalled.events, [])
      assert.isFalse(other.isEnded())
    }).pipe(Effect.scoped)
  )
})

/** An authorizer whose decision a test changes. */
interface Mode {
  current: "allow" | "deny" | "unavailable"
  readonly keeps: boolean
}

const changing = (mode: Mode) =>
  Layer.succeed(Authorization, {
    alreadyAllows: () => mode.keeps && mode.current === "allow",
    requiresIfMatch: () => false,
    check: (identity, access) =>
      Effect.suspend((): Effect.Effect<void, Unauthorized | ClusterUnavailable> => {
        switch (mode.current) {
          case "allow":
            return Effect.void
          case "deny":
            return Effect.fail(refused(identity, access))
          case "unavailable":
            return Effect.fail(new ClusterUnavailable({ detail: "No answer." }))
        }
      })
  })

const ended = (answers: ReadonlyArray<Answer>, status: number) =>
  assert.deepStrictEqual(
    answers.map((answer) => answer.status),
    [status, status]
  )

for (const keeps of [true, false]) {
  const mode: Mode = { current: "allow", keeps }
  withService({ authorizer: changing(mode) })(
    `a permission that is withdrawn (answers are ${keeps ? "" : "not "}kept)`,
    (it) => {
      it.effect("ends waits and streams within 5 s", () =>
        Effect.gen(function* () {
          const { port } = yield* TestService
          mode.current = "allow"
          const streams = yield* Effect.forEach([nginx, routes], (path) => openStream(port, { client: "viewer", path }))
          for (const stream of streams) yield* stream.event(0)
          const waits = yield* Effect.forkChild(
            Effect.all([wait(port, nginx, "*", 60), wait(port, routes, "*", 60)], { concurrency: 2 })
          )
          yield* untilMeasured("waits_open", 2)
          mode.current = "deny"
          const since = performance.now()
          for (const stream of streams) {
            assert.deepInclude(yield* stream.event(1), { event: "end", data: '{"reason":"permission"}' })
          }
          ended(yield* Fiber.join(waits), 401)
          assert.isBelow(performance.now() - since, 5000)
        }).pipe(Effect.scoped)
      )

      it.effect("sends nothing of a change that comes after it", () =>
        Effect.gen(function* () {
          const { port } = yield* TestService
          mode.current = "allow"
          const stream = yield* openStream(port, { client: "viewer", path: nginx })
          yield* stream.event(0)
          if (!keeps) return
          mode.current = "deny"
          yield* scale(77)
          assert.deepInclude(yield* stream.event(1), { event: "end", data: '{"reason":"permission"}' })
        }).pipe(Effect.scoped)
      )
    }
  )
}

const unanswered: Mode = { current: "allow", keeps: false }

withService({ authorizer: changing(unanswered) })(
  "a cluster that does not answer whether a client is permitted",
  (it) => {
    it.effect("cuts streams off without an end that is final, ends waits with 503, and sends nothing meanwhile", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const streams = yield* Effect.forEach([nginx, routes], (path) => openStream(port, { client: "viewer", path }))
        for (const stream of streams) yield* stream.event(0)
        const waits = yield* Effect.forkChild(
          Effect.all([wait(port, nginx, "*", 60), wait(port, routes, "*", 60)], { concurrency: 2 })
        )
        yield* untilMeasured("waits_open", 2)
        unanswered.current = "unavailable"
        ended(yield* Fiber.join(waits), 503)
        for (const stream of streams) {
          yield* stream.ended
          assert.strictEqual(stream.events.length, 1)
        }
      }).pipe(Effect.scoped)
    )
  }
)

/** Answers after a while. */
const slow = Layer.succeed(Authorization, {
  alreadyAllows: () => false,
  requiresIfMatch: () => false,
  check: (_, { verb }) => Effect.sleep(verb === "get" ? 300 : 0)
})

withService({ authorizer: slow })(
  "a request behind one that asks for a stream or a wait while its permission is reviewed",
  (it) => {
    it.effect("is carried out and answered; the stream is refused, and the wait answered at once", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const put = (replicas: number) => `PUT ${nginx}/${replicas} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
        const get = (fields: string) => `GET ${nginx} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`
        const first = yield* exchange(port, [get("Accept: text/event-stream\r\n") + put(71)])
        assert.match(first, /^HTTP\/1\.1 400 [^]*BadRequest[^]*HTTP\/1\.1 200 [^]*\{\}$/)
        yield* eventually(send(port, { client: "viewer", path: nginx }), ({ body }) => body === count(71))
        const second = yield* exchange(port, [get("If-None-Match: *\r\nPrefer: wait=60\r\n") + put(72)])
        assert.match(second, /^HTTP\/1\.1 304 [^]*HTTP\/1\.1 200 [^]*\{\}$/)
      })
    )
  }
)

withService()("waits that supersede each other on one connection", (it) => {
  it.effect("give their places back once", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const socket = yield* tlsConnection({ port }, "admin")
      const request = `GET ${nginx} HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\nPrefer: wait=60\r\n\r\n`
      let answered = 0
      socket.on("data", (chunk: Buffer) => (answered += chunk.toString("latin1").split("HTTP/1.1 304").length - 1))
      for (let nth = 0; nth < 3; nth++) {
        socket.write(request.repeat(10))
        yield* eventually(
          () => answered,
          (count) => count === 10 * nth + 9
        )
        yield* untilMeasured("waits_open", 1)
        assert.strictEqual(yield* measured("requests_in_flight"), 0)
        socket.write(request)
        answered--
      }
      socket.destroy()
      yield* untilMeasured("waits_open", 0)
      assert.strictEqual(yield* measured("requests_in_flight"), 0)
    }).pipe(Effect.scoped)
  )
})

const longNames = Object.fromEntries(
  Array.from({ length: 20_000 }, (_, at) => [`${"a-rather-long-name-".repeat(10)}${at}`, 1])
)

withService({
  kube: { seed: { ...demoSeed, long: longNames } },
  responseTimeout: Duration.seconds(1),
  requestTimeout: Duration.seconds(1),
  headersTimeout: Duration.seconds(1)
})("a response that is not read", (it) => {
  const list = "/namespaces/long/deployments/ANY/replica_count"
  const waiting = (path: string, seconds: number) =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\nPrefer: wait=${seconds}\r\n\r\n`

  it.effect("is timed out after its wait is over, and in front of a wait", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { cluster } = yield* EmbeddedKube
      const [afterWait, before] = yield* Effect.all([
        tlsConnection({ port }, "admin"),
        tlsConnection({ port }, "admin")
      ])
      for (const socket of [afterWait, before]) socket.pause()
      const evicted = yield* measured("connections_evicted_total")
      afterWait.write(waiting(list, 60))
      yield* untilMeasured("waits_open", 1)
      yield* cluster.putDeployment("long", "one-more", 3)
      before.write(`GET ${list} HTTP/1.1\r\nHost: x\r\n\r\n${waiting(nginx, 60)}`)
      yield* eventually(measured("connections_evicted_total"), (count) => count === evicted + 2)
      yield* untilMeasured("response_bytes_in_flight", 0)
      yield* untilMeasured("waits_open", 0)
    }).pipe(Effect.scoped)
  )
})

describe("a certificate that is revoked", () => {
  it.live("ends its waits and streams within 5 s, and no others", () =>
    Effect.gen(function* () {
      const root = yield* authority("client authority")
      const [alice, bob] = yield* Effect.all([root.issue({ subject: "/CN=alice" }), root.issue({ subject: "/CN=bob" })])
      const { as, change, port } = yield* service({ ca: root.cert, crl: yield* root.revocationList({ revoked: [] }) })
      const [ofAlice, ofBob] = yield* Effect.forEach([alice, bob], (client) =>
        openStream(port, { client: as(client), path: nginx })
      )
      if (ofAlice === undefined || ofBob === undefined) return
      yield* ofAlice.event(0)
      const waits = yield* Effect.forkChild(
        Effect.all([wait(port, nginx, "*", 60, as(alice)), wait(port, routes, "*", 60, as(alice))], { concurrency: 2 })
      )
      yield* Effect.sleep(500)
      yield* change({ ca: root.cert, crl: yield* root.revocationList({ revoked: [alice] }) })
      const since = performance.now()
      assert.deepInclude(yield* ofAlice.event(1), { event: "end", data: '{"reason":"certificate"}' })
      ended(yield* Fiber.join(waits), 403)
      assert.isBelow(performance.now() - since, 5000)
      assert.isFalse(ofBob.isEnded())
      assert.strictEqual(ofBob.events.length, 1)
    }).pipe(Effect.scoped)
  )
})

withService({ drainPeriod: Duration.seconds(2) })("the shutdown", (it) => {
  it.effect("ends waits with 304 and streams with `shutdown`, and asks later ones to go elsewhere", () =>
    Effect.gen(function* () {
      const { lifecycle, port } = yield* TestService
      const streams = yield* Effect.forEach([nginx, routes], (path) => openStream(port, { client: "viewer", path }))
      const waits = yield* Effect.forkChild(
        Effect.all([wait(port, nginx, "*", 60), wait(port, routes, "*", 60)], { concurrency: 2 })
      )
      yield* Effect.sleep(500)
      yield* Effect.forkChild(lifecycle.beginShutdown)
      const answers = yield* Fiber.join(waits)
      ended(answers, 304)
      for (const { headers } of answers) assert.strictEqual(headers["connection"], "close")
      for (const stream of streams) {
        assert.deepInclude(yield* stream.event(1), { event: "end", data: '{"reason":"shutdown"}' })
        yield* stream.ended
      }
      const late = yield* openStream(port, { client: "viewer", path: nginx })
      assert.deepInclude(yield* late.event(0), { event: "end", data: '{"reason":"shutdown"}' })
      assert.strictEqual((yield* wait(port, nginx, "*", 60)).status, 304)
    }).pipe(Effect.scoped)
  )
})
