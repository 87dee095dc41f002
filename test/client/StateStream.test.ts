import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Duration, Effect, Fiber, Layer, Queue, Ref, Schema, type Scope, Stream } from "effect"
import { HttpClient, HttpClientError } from "effect/http"
import { TestClock } from "effect/testing"
import * as Client from "../../src/client/Client.ts"
import * as MemoryResponse from "../../src/client/testing/MemoryResponse.ts"
import * as Testing from "../../src/client/testing/Testing.ts"
import { eventually } from "../support/Eventually.ts"

const namespace = Client.NamespaceName.make("personal")
const deployment = Client.DeploymentName.make("nginx")
const params = { namespace, deployment }

const content: Testing.Cluster = { default: {}, personal: { kafka: 3, nginx: 12 } }

const connect = Client.make("https://service")

/** Runs a stream in the background. Gives its elements, and its end. */
const follow = Effect.fnUntraced(function* <A, E>(stream: Stream.Stream<A, E>) {
  const shown = yield* Queue.unbounded<A>()
  const fiber = yield* Effect.forkScoped(Stream.runForEach(stream, (element) => Queue.offer(shown, element)))
  return { next: Queue.take(shown), rest: Queue.clear(shown), end: Fiber.join(fiber) }
})

const followCount = Effect.gen(function* () {
  const client = yield* connect
  const { end, next, rest } = yield* follow(client.watchReplicaCount({ params }))
  return {
    next: Effect.map(next, ({ replica_count }) => Number(replica_count)),
    rest: Effect.map(rest, (all) => all.map(({ replica_count }) => Number(replica_count))),
    end
  }
})

const streamRequests = Effect.flatMap(Testing.TestCluster, ({ requests }) =>
  Effect.map(requests, (all) => all.filter(({ endpoint }) => endpoint?.startsWith("watch") === true))
)

/** Longer than `retry`, a second, and the first wait of the back-off, at most 0.6 seconds. */
const reconnectionTime = "1700 millis"

describe("a stream of states", () => {
  const test = <E>(
    name: string,
    body: Effect.Effect<void, E, Testing.TestCluster | HttpClient.HttpClient | Scope.Scope>
  ) => it.effect(name, () => Effect.provide(body, Testing.layer(content)))

  test(
    "shows the state and each new one, for every read",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const client = yield* connect
      const namespaces = yield* follow(client.watchNamespaces())
      const names = yield* follow(client.watchDeployments({ params: { namespace } }))
      const allNames = yield* follow(client.watchAllDeployments())
      const count = yield* follow(client.watchReplicaCount({ params }))
      const counts = yield* follow(client.watchReplicaCounts({ params: { namespace } }))
      const allCounts = yield* follow(client.watchAllReplicaCounts())
      const found = yield* follow(client.watchFoundReplicaCounts({ params: { deployment } }))
      const check = Effect.gen(function* () {
        assert.deepStrictEqual(yield* namespaces.next, yield* client.listNamespaces())
        assert.deepStrictEqual(yield* names.next, yield* client.listDeployments({ params: { namespace } }))
        assert.deepStrictEqual(yield* allNames.next, yield* client.listAllDeployments())
        assert.deepStrictEqual(yield* count.next, yield* client.getReplicaCount({ params }))
        assert.deepStrictEqual(yield* counts.next, yield* client.listReplicaCounts({ params: { namespace } }))
        assert.deepStrictEqual(yield* allCounts.next, yield* client.listAllReplicaCounts())
        assert.deepStrictEqual(yield* found.next, yield* client.findReplicaCounts({ params: { deployment } }))
      })
      yield* check
      yield* cluster.replace({ default: { nginx: 1 }, other: {}, personal: { nginx: 13, redis: 2 } })
      yield* check
    })
  )

  for (const reason of ["shutdown", "max_age", "certificate"] as const) {
    test(
      `reconnects after the end for ${reason}, and shows no state twice`,
      Effect.gen(function* () {
        const cluster = yield* Testing.TestCluster
        const count = yield* followCount
        assert.strictEqual(yield* count.next, 12)
        yield* cluster.endStreams(reason)
        yield* TestClock.adjust(reconnectionTime)
        assert.lengthOf(yield* streamRequests, 2)
        yield* cluster.setReplicaCount("personal", "nginx", 13)
        assert.strictEqual(yield* count.next, 13)
        assert.deepStrictEqual(yield* count.rest, [])
      })
    )
  }

  test(
    "resumes from the last event, with its version",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const count = yield* followCount
      assert.strictEqual(yield* count.next, 12)
      yield* cluster.setReplicaCount("personal", "nginx", 13)
      assert.strictEqual(yield* count.next, 13)
      yield* cluster.disconnectStreams
      yield* TestClock.adjust(reconnectionTime)
      const [first, second] = yield* streamRequests
      assert.notProperty(first?.headers, "last-event-id")
      assert.notProperty(first?.headers, "last-event-version")
      assert.deepInclude(second?.headers, { "last-event-id": '"13"', "last-event-version": "2" })
    })
  )

  test(
    "shows the state at the reconnection, without those in between",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const count = yield* followCount
      assert.strictEqual(yield* count.next, 12)
      yield* cluster.disconnectStreams
      yield* Effect.forEach([13, 14, 15], (replicas) => cluster.setReplicaCount("personal", "nginx", replicas))
      yield* TestClock.adjust(reconnectionTime)
      assert.strictEqual(yield* count.next, 15)
      assert.deepStrictEqual(yield* count.rest, [])
    })
  )

  test(
    "fails with NotFound after the deployment was deleted",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const count = yield* followCount
      assert.strictEqual(yield* count.next, 12)
      yield* cluster.deleteDeployment("personal", "nginx")
      yield* TestClock.adjust(reconnectionTime)
      const error = yield* Effect.flip(count.end)
      assert.strictEqual(error._tag, "NotFound")
    })
  )

  test(
    "goes on if the deployment is there again before the reconnection",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const count = yield* followCount
      assert.strictEqual(yield* count.next, 12)
      yield* cluster.deleteDeployment("personal", "nginx")
      yield* cluster.setReplicaCount("personal", "nginx", 1)
      yield* TestClock.adjust(reconnectionTime)
      assert.strictEqual(yield* count.next, 1)
    })
  )

  test(
    "fails with Unauthorized after the permission has ended",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const count = yield* followCount
      assert.strictEqual(yield* count.next, 12)
      yield* cluster.refuse(new Client.Unauthorized({ detail: "not any more" }), { endpoint: "watchReplicaCount" })
      yield* cluster.endStreams("permission")
      yield* TestClock.adjust(reconnectionTime)
      const error = yield* Effect.flip(count.end)
      assert.deepInclude(error, { _tag: "Unauthorized", detail: "not any more" })
    })
  )

  for (const problem of [
    new Client.BadRequest({}),
    new Client.Unauthorized({}),
    new Client.Unidentified({}),
    new Client.UnknownEndpoint({}),
    new Client.NotFound({}),
    new Client.UriTooLong({}),
    new Client.HeaderFieldsTooLarge({})
  ]) {
    test(
      `fails with ${problem.code} at once`,
      Effect.gen(function* () {
        const cluster = yield* Testing.TestCluster
        yield* cluster.refuse(problem)
        const count = yield* followCount
        assert.strictEqual((yield* Effect.flip(count.end))._tag, problem.code)
        assert.lengthOf(yield* streamRequests, 1)
      })
    )
  }

  for (const problem of [
    new Client.RequestTimeout({}),
    new Client.TooManyRequests({}),
    new Client.Internal({}),
    new Client.NotReady({}),
    new Client.ClusterUnavailable({})
  ]) {
    test(
      `retries ${problem.code}`,
      Effect.gen(function* () {
        const cluster = yield* Testing.TestCluster
        yield* cluster.refuse(problem)
        const count = yield* followCount
        yield* TestClock.adjust(reconnectionTime)
        assert.strictEqual(yield* count.next, 12)
      })
    )
  }

  test(
    "waits as long as Retry-After says",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      yield* cluster.refuse(Object.assign(new Client.NotReady({}), { retryAfterSeconds: 20 }))
      yield* followCount
      yield* TestClock.adjust("20 seconds")
      assert.lengthOf(yield* streamRequests, 1)
      yield* TestClock.adjust("1 second")
      assert.lengthOf(yield* streamRequests, 2)
    })
  )

  test(
    "waits longer from attempt to attempt, up to half a minute, and starts again after a success",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      yield* cluster.disconnect({ times: 20 })
      const count = yield* followCount
      // Half a second, with 20 % jitter, and twice as much each time: six in less than 38 seconds.
      yield* TestClock.adjust("37.8 seconds")
      assert.isAtLeast((yield* streamRequests).length, 7)
      assert.isAtMost((yield* streamRequests).length, 8)
      yield* TestClock.adjust("15 minutes")
      assert.strictEqual(yield* count.next, 12)
      assert.lengthOf(yield* streamRequests, 21)
      yield* cluster.disconnectStreams
      yield* TestClock.adjust(reconnectionTime)
      assert.lengthOf(yield* streamRequests, 22)
    })
  )

  test(
    "stays on a connection on which only comments come",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const count = yield* followCount
      assert.strictEqual(yield* count.next, 12)
      yield* TestClock.adjust("1 hour")
      assert.lengthOf(yield* streamRequests, 1)
      yield* cluster.setReplicaCount("personal", "nginx", 13)
      assert.strictEqual(yield* count.next, 13)
    })
  )

  it.effect.prop(
    "shows a part of the history in its order, without repetition, up to the last state",
    [Schema.Array(Schema.Literals([0, 1, 2, "wait", "lose", "end"])).check(Schema.isMaxLength(30))],
    ([steps]) =>
      Effect.gen(function* () {
        const cluster = yield* Testing.TestCluster
        const count = yield* followCount
        const history = [yield* count.next]
        for (const step of steps) {
          if (step === "wait") yield* TestClock.adjust("400 millis")
          else if (step === "lose") yield* cluster.disconnectStreams
          else if (step === "end") yield* cluster.endStreams("max_age")
          else {
            history.push(step)
            yield* cluster.setReplicaCount("personal", "nginx", step)
          }
        }
        const shown = [12]
        const seen = Effect.tap(TestClock.adjust("1 minute"), () => Effect.map(count.rest, (all) => shown.push(...all)))
        yield* eventually(seen, () => shown.at(-1) === history.at(-1))
        let at = -1
        for (const one of shown) {
          at = history.indexOf(one, at + 1)
          assert.notStrictEqual(at, -1, `${shown.join()} of ${history.join()}`)
        }
        assert.deepStrictEqual(Arr.dedupeAdjacent(shown), shown)
      }).pipe(Effect.scoped, Effect.provide(Testing.layer(content)))
  )
})

const eventStream = { status: 200, headers: { "content-type": "text/event-stream" } }

/** An `HttpClient` that gives these bodies one after another, and records when they were asked for. */
const serving = Effect.fnUntraced(function* (
  ...bodies: ReadonlyArray<Stream.Stream<string, HttpClientError.HttpClientError>>
) {
  const asked = yield* Ref.make<ReadonlyArray<Readonly<Record<string, string>>>>([])
  const client = HttpClient.make((request) =>
    Effect.gen(function* () {
      const before = yield* Ref.getAndUpdate(asked, (all) => [...all, { ...request.headers }])
      const body = bodies[before.length] ?? Stream.never
      return MemoryResponse.make(request, { ...eventStream, body })
    })
  )
  return { asked: Ref.get(asked), layer: Layer.succeed(HttpClient.HttpClient, client) }
})

const snapshot = (count: number, version = "") =>
  `id: "${count}"\nevent: snapshot\ndata: {"namespace":"personal","deployment":"nginx","replica_count":${count}}\n${version}\n`

describe("the events of a stream", () => {
  it.effect("a connection without a byte for 45 seconds is replaced", () =>
    Effect.gen(function* () {
      const { asked, layer } = yield* serving(Stream.concat(Stream.succeed(snapshot(12)), Stream.never))
      const count = yield* Effect.provide(followCount, layer)
      assert.strictEqual(yield* count.next, 12)
      yield* TestClock.adjust("44 seconds")
      assert.lengthOf(yield* asked, 1)
      yield* TestClock.adjust("2 seconds")
      assert.lengthOf(yield* asked, 2)
    })
  )

  it.effect("a service that does not answer at all is asked again after 45 seconds", () =>
    Effect.gen(function* () {
      const asked = yield* Ref.make(0)
      const client = HttpClient.make(() =>
        Effect.andThen(
          Ref.update(asked, (all) => all + 1),
          Effect.never
        )
      )
      yield* Effect.provideService(followCount, HttpClient.HttpClient, client)
      yield* TestClock.adjust("46 seconds")
      assert.strictEqual(yield* Ref.get(asked), 2)
    })
  )

  it.effect("the next connection waits as long as retry says", () =>
    Effect.gen(function* () {
      const { asked, layer } = yield* serving(Stream.succeed(`retry: 10000\n\n${snapshot(12)}`))
      const count = yield* Effect.provide(followCount, layer)
      assert.strictEqual(yield* count.next, 12)
      yield* TestClock.adjust("10 seconds")
      assert.lengthOf(yield* asked, 1)
      yield* TestClock.adjust("1 second")
      assert.lengthOf(yield* asked, 2)
    })
  )

  it.effect("versions may hold any text; a stream without versions resumes from the id alone", () =>
    Effect.gen(function* () {
      const { asked, layer } = yield* serving(
        Stream.succeed(snapshot(12)),
        Stream.succeed(snapshot(13, ": version 4711. 4700:x\n"))
      )
      const count = yield* Effect.provide(followCount, layer)
      assert.strictEqual(yield* count.next, 12)
      yield* TestClock.adjust("10 seconds")
      const [, second, third] = yield* asked
      assert.strictEqual(second?.["last-event-id"], '"12"')
      assert.notProperty(second, "last-event-version")
      assert.deepInclude(third, { "last-event-id": '"13"', "last-event-version": "4711. 4700:x" })
    })
  )

  it.effect("a snapshot of the state that was shown last is not shown again, also from a service that sends one", () =>
    Effect.gen(function* () {
      const { layer } = yield* serving(Stream.succeed(snapshot(12)), Stream.succeed(`${snapshot(12)}${snapshot(13)}`))
      const count = yield* Effect.provide(followCount, layer)
      assert.strictEqual(yield* count.next, 12)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* count.next, 13)
    })
  )

  it.effect("events that the client does not know, and a change before any snapshot, are ignored", () =>
    Effect.gen(function* () {
      const change = `id: "11"\nevent: change\ndata: [{"namespace":"personal","deployment":"nginx","replica_count":11}]\n\n`
      const { layer } = yield* serving(Stream.succeed(`event: news\ndata: x\n\n${change}${snapshot(12)}`))
      const count = yield* Effect.provide(followCount, layer)
      assert.strictEqual(yield* count.next, 12)
      assert.deepStrictEqual(yield* count.rest, [])
    })
  )

  it.effect("text may be cut anywhere, also inside a line or a character", () =>
    Effect.gen(function* () {
      const text = `: ü\nretry: 1\n\n${snapshot(12, ": version 1\r\n")}${snapshot(13)}`
      const { layer } = yield* serving(Stream.concat(Stream.fromIterable(text), Stream.never))
      const count = yield* Effect.provide(followCount, layer)
      assert.strictEqual(yield* count.next, 12)
      assert.strictEqual(yield* count.next, 13)
    })
  )

  it.effect("an event that was cut off by the end of the connection is not shown", () =>
    Effect.gen(function* () {
      const { asked, layer } = yield* serving(Stream.succeed(snapshot(12).trimEnd()), Stream.succeed(snapshot(13)))
      const count = yield* Effect.provide(followCount, layer)
      yield* eventually(Effect.andThen(TestClock.adjust("1 second"), asked), (all) => all.length > 1)
      assert.strictEqual(yield* count.next, 13)
    })
  )

  it.effect("a state that the contract does not describe fails the stream", () =>
    Effect.gen(function* () {
      const { layer } = yield* serving(Stream.succeed(snapshot(-1).replace('"-1"', '"1"')))
      const count = yield* Effect.provide(followCount, layer)
      assert.strictEqual((yield* Effect.flip(count.end))._tag, "SchemaError")
    })
  )

  it.effect("a 200 that is no stream, and a status that is no problem, fail it; a 502 of a proxy does not", () =>
    Effect.gen(function* () {
      const answering = (...statuses: ReadonlyArray<number>) =>
        Effect.map(Ref.make(0), (asked) =>
          HttpClient.make((request) =>
            Effect.map(
              Ref.getAndUpdate(asked, (all) => all + 1),
              (at) => {
                const status = statuses[at]
                return status === undefined
                  ? MemoryResponse.make(request, { ...eventStream, body: snapshot(12) })
                  : MemoryResponse.make(request, { status, headers: { "content-type": "text/html" }, body: "<html>" })
              }
            )
          )
        )
      for (const status of [200, 404]) {
        const count = yield* Effect.provideServiceEffect(followCount, HttpClient.HttpClient, answering(status))
        assert.strictEqual((yield* Effect.flip(count.end))._tag, "HttpClientError")
      }
      const count = yield* Effect.provideServiceEffect(followCount, HttpClient.HttpClient, answering(502, 503))
      yield* TestClock.adjust(Duration.seconds(3))
      assert.strictEqual(yield* count.next, 12)
    })
  )
})
