import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { openStream } from "../support/EventStreams.ts"
import { eventually } from "../support/Eventually.ts"
import { agent, readPaths, send } from "../support/Https.ts"
import { exchange } from "../support/Sockets.ts"
import { TestService, withService } from "../support/TestService.ts"

const nginx = "/namespaces/personal/deployments/nginx/replica_count"
const counts = "/namespaces/personal/deployments/ANY/replica_count"

const put = (port: number, replicas: number, path = nginx) =>
  Effect.map(send(port, { client: "admin", method: "PUT", path: `${path}/${replicas}` }), ({ status }) =>
    assert.strictEqual(status, 200)
  )

const count = (replicas: number) => `{"namespace":"personal","deployment":"nginx","replica_count":${replicas}}`

withService()("event streams", (it) => {
  // A query takes the routes.
  for (const tail of ["", "?routes"]) {
    it.effect(
      `a stream of a count begins with a snapshot and sends changes (${tail === "" ? "read path" : "routes"})`,
      () =>
        Effect.gen(function* () {
          const { port } = yield* TestService
          yield* put(port, 12)
          const stream = yield* openStream(port, { client: "viewer", path: nginx + tail })
          assert.strictEqual(stream.status, 200)
          assert.strictEqual(stream.headers["content-type"], "text/event-stream")
          assert.strictEqual(stream.headers["cache-control"], "private, no-cache")
          assert.strictEqual(stream.headers["age"], "0")
          assert.match(String(stream.headers["x-request-id"]), /^[0-9a-f-]{36}$/)
          const snapshot = yield* stream.event(0)
          assert.deepInclude(snapshot, { event: "snapshot", id: '"12"', data: count(12) })
          assert.match(stream.text(), /^retry: [12][0-9]{3}\n\n/)
          yield* put(port, 13)
          yield* put(port, 12)
          yield* put(port, 14)
          yield* eventually(
            () => stream.events.at(-1)?.data,
            (data) => data === `[${count(14)}]`
          )
          for (const { event, id } of stream.events.slice(1)) {
            assert.strictEqual(event, "change")
            assert.isDefined(id)
          }
        }).pipe(Effect.scoped)
    )

    it.effect(
      `Last-Event-ID with the current tag sends no snapshot; another one does (${tail === "" ? "read path" : "routes"})`,
      () =>
        Effect.gen(function* () {
          const { port } = yield* TestService
          yield* put(port, 12)
          const current = yield* openStream(port, {
            client: "viewer",
            path: nginx + tail,
            headers: { "last-event-id": '"12"' }
          })
          const other = yield* openStream(port, {
            client: "viewer",
            path: nginx + tail,
            headers: { "last-event-id": '"11"' }
          })
          assert.deepInclude(yield* other.event(0), { event: "snapshot", id: '"12"' })
          yield* put(port, 15)
          assert.deepInclude(yield* current.event(0), { event: "change", id: '"15"', data: `[${count(15)}]` })
          assert.deepInclude(yield* other.event(1), { event: "change", id: '"15"', data: `[${count(15)}]` })
        }).pipe(Effect.scoped)
    )
  }

  for (const path of readPaths) {
    it.effect(`the snapshot of ${path} is the body of the GET, with its tag`, () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const [stream, answer] = yield* Effect.all([
          openStream(port, { client: "viewer", path }),
          send(port, { client: "viewer", path })
        ])
        const snapshot = yield* stream.event(0)
        assert.strictEqual(snapshot.data, answer.body)
        assert.strictEqual(snapshot.id, answer.headers["etag"])
      }).pipe(Effect.scoped)
    )
  }

  it.effect("deployments and namespaces that come and go are items of a change", () =>
    Effect.gen(function* () {
      const { cluster: kube } = yield* EmbeddedKube
      const { port } = yield* TestService
      const [all, names, namespaces, everywhere] = yield* Effect.forEach(
        [
          "/namespaces/ANY/deployments/ANY/replica_count",
          "/namespaces/ANY/deployments",
          "/namespaces",
          "/namespaces/ANY/deployments/fred/replica_count"
        ],
        (path) => openStream(port, { client: "viewer", path })
      )
      if (all === undefined || names === undefined || namespaces === undefined || everywhere === undefined) return
      yield* Effect.forEach([all, names, namespaces, everywhere], (stream) => stream.event(0))
      yield* kube.createNamespace("fresh")
      assert.strictEqual((yield* all.event(1)).data, '[{"namespace":"fresh"}]')
      assert.strictEqual((yield* namespaces.event(1)).data, '[{"namespace":"fresh"}]')
      yield* kube.putDeployment("fresh", "fred", 5)
      const created = '{"namespace":"fresh","deployment":"fred","replica_count":5}'
      assert.strictEqual((yield* all.event(2)).data, `[${created}]`)
      assert.strictEqual((yield* everywhere.event(1)).data, `[${created}]`)
      assert.strictEqual((yield* names.event(2)).data, '[{"namespace":"fresh","deployment":"fred"}]')
      yield* kube.deleteDeployment("fresh", "fred")
      const removed = '[{"namespace":"fresh","deployment":"fred","deleted":true}]'
      assert.strictEqual((yield* all.event(3)).data, removed)
      assert.strictEqual((yield* everywhere.event(2)).data, removed)
      assert.strictEqual((yield* names.event(3)).data, removed)
      yield* kube.deleteNamespace("fresh")
      assert.strictEqual((yield* all.event(4)).data, '[{"namespace":"fresh","deleted":true}]')
      assert.strictEqual((yield* namespaces.event(2)).data, '[{"namespace":"fresh","deleted":true}]')
      for (const stream of [all, names, namespaces]) {
        const last = stream.events.at(-1)
        assert.strictEqual(last?.id, stream.events[0]?.id)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("a stream whose resource goes ends with `gone`, and a new one gets 410", () =>
    Effect.gen(function* () {
      const { cluster: kube } = yield* EmbeddedKube
      const { port } = yield* TestService
      yield* kube.putDeployment("default", "short-lived", 1)
      const path = "/namespaces/default/deployments/short-lived/replica_count"
      yield* eventually(send(port, { client: "viewer", path }), ({ status }) => status === 200)
      const stream = yield* openStream(port, { client: "viewer", path })
      yield* stream.event(0)
      yield* kube.deleteDeployment("default", "short-lived")
      assert.deepInclude(yield* stream.event(1), { event: "end", data: '{"reason":"gone"}' })
      yield* stream.ended
      assert.strictEqual((yield* openStream(port, { client: "viewer", path })).status, 410)
    }).pipe(Effect.scoped)
  )

  it.effect("a client that has seen a newer state gets nothing older", () =>
    Effect.gen(function* () {
      const { cluster: kube } = yield* EmbeddedKube
      const { port } = yield* TestService
      yield* put(port, 12)
      const first = yield* openStream(port, { client: "viewer", path: nginx })
      const { version = "" } = yield* first.event(0)
      const [deployments = "", namespaces = ""] = version.split(".")
      // The state of an instance that is ahead by two changes.
      const ahead = `${Number(deployments) + 2}.${namespaces}`
      const stream = yield* openStream(port, {
        client: "viewer",
        path: nginx,
        headers: { "last-event-id": '"14"', "last-event-version": ahead }
      })
      yield* kube.scale("personal", "nginx", 13)
      // The other stream has the change, so this one has refused it.
      assert.deepInclude(yield* first.event(1), { id: '"13"' })
      yield* kube.scale("personal", "nginx", 14)
      assert.deepInclude(yield* first.event(2), { id: '"14"' })
      yield* kube.scale("personal", "nginx", 15)
      assert.deepInclude(yield* stream.event(0), { id: '"15"' })
      assert.strictEqual(stream.events.length, 1)
      for (const malformed of ["", "x", "1", "9".repeat(400), "1.2.3"]) {
        const other = yield* openStream(port, {
          client: "viewer",
          path: nginx,
          headers: { "last-event-version": malformed }
        })
        assert.deepInclude(yield* other.event(0), { event: "snapshot", id: '"15"' })
      }
    }).pipe(Effect.scoped)
  )

  it.effect("a further request on the connection of a stream ends it, and is not carried out", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      yield* put(port, 12)
      const answer = yield* exchange(
        port,
        [
          `GET ${nginx} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n` +
            `PUT ${nginx}/99 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
        ],
        { client: "admin" }
      )
      assert.notInclude(answer, "{}")
      assert.strictEqual((yield* send(port, { client: "viewer", path: nginx })).body, count(12))
    })
  )

  it.effect("HEAD ignores the event stream, and an unidentified client gets 403", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const headers = { accept: "text/event-stream" }
      const head = yield* send(port, { client: "viewer", method: "HEAD", path: nginx, headers })
      assert.strictEqual(head.status, 200)
      assert.strictEqual(head.headers["content-type"], "application/json")
      assert.strictEqual((yield* send(port, { client: "none", path: nginx, headers })).status, 403)
      assert.strictEqual(
        (yield* send(port, { client: "viewer", path: "/namespaces/Personal/deployments", headers })).status,
        400
      )
      assert.strictEqual(
        (yield* send(port, { client: "viewer", path: "/namespaces/absent/deployments", headers })).status,
        410
      )
    })
  )
})

withService({ maxStreams: 4, maxWaiters: 4 })("limits of event streams and waits", (it) => {
  it.effect("a user has half of the streams; beyond it 429 until one ends", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      for (const path of [nginx, `${nginx}?routes`]) {
        yield* Effect.gen(function* () {
          const open = yield* Effect.forEach([0, 1], () => openStream(port, { client: "viewer", path }))
          for (const { status } of open) assert.strictEqual(status, 200)
          const third = yield* openStream(port, { client: "viewer", path })
          assert.strictEqual(third.status, 429)
          assert.strictEqual(third.headers["retry-after"], "5")
          yield* eventually(third.text, (text) => text.includes('"TooManyRequests"'))
          const others = yield* Effect.forEach([0, 1], () => openStream(port, { client: "admin", path }))
          for (const { status } of others) assert.strictEqual(status, 200)
          assert.strictEqual((yield* openStream(port, { client: "nobody", path })).status, 429)
        }).pipe(Effect.scoped)
        // The places are free again.
        yield* eventually(Effect.scoped(openStream(port, { client: "viewer", path })), ({ status }) => status === 200)
      }
    })
  )

  it.effect("a user has half of the waits; beyond it 429", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      for (const path of [nginx, `${nginx}?routes`]) {
        const wait = (client: "viewer" | "admin", seconds: number) =>
          send(port, { client, path, headers: { "if-none-match": "*", prefer: `wait=${seconds}` } })
        const results = yield* Effect.all(
          [wait("viewer", 2), wait("viewer", 2), Effect.delay(wait("viewer", 2), 500)],
          {
            concurrency: 3
          }
        )
        assert.deepStrictEqual(
          results.map(({ status }) => status),
          [304, 304, 429]
        )
      }
    })
  )
})

withService({ maxStreamAge: Duration.seconds(2) })("old event streams", (it) => {
  it.effect("end with `max_age` between half and the whole of MAX_STREAM_AGE", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const stream = yield* openStream(port, { client: "viewer", path: counts })
      assert.deepInclude(yield* stream.event(1), { event: "end", data: '{"reason":"max_age"}' })
      yield* stream.ended
    }).pipe(Effect.scoped)
  )
})

withService({ maxInFlight: 2 })("streams and waits", (it) => {
  it.effect("take no place of the requests in flight", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const pool = yield* agent("viewer", 1)
      for (let opened = 0; opened < 3; opened++) {
        const stream = yield* openStream(port, { client: "viewer", path: nginx })
        assert.strictEqual(stream.status, 200)
      }
      for (let nth = 0; nth < 20; nth++) {
        assert.strictEqual((yield* send(port, { client: "viewer", path: nginx, agent: pool })).status, 200)
      }
    }).pipe(Effect.scoped)
  )
})
