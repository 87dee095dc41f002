import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Ref, type Scope } from "effect"
import type { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import * as Client from "../../src/client/Client.ts"
import * as Testing from "../../src/client/testing/Testing.ts"

const namespace = Client.NamespaceName.make("personal")
const deployment = Client.DeploymentName.make("nginx")
const params = { namespace, deployment }
const count = (replicas: number) => Client.ReplicaCount.make(replicas)

const content: Testing.Cluster = { default: {}, personal: { kafka: 3, nginx: 12 } }

const connect = Client.make("https://service")

const test = <E>(
  name: string,
  body: Effect.Effect<void, E, Testing.TestCluster | HttpClient.HttpClient | Scope.Scope>,
  options: Testing.Options = {}
) => it.effect(name, () => Effect.provide(body, Testing.layer(content, options)))

const nginx = Effect.map(
  Effect.flatMap(Testing.TestCluster, (cluster) => cluster.content),
  (all) => all["personal"]?.["nginx"]
)

describe("conditional reads", () => {
  test(
    "give nothing while the tag is current, and a new body with its tag after a change",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const client = yield* connect
      const { body, etag } = yield* client.tagged.listDeployments({ params: { namespace } })
      assert.deepStrictEqual(body, yield* client.listDeployments({ params: { namespace } }))
      const changed = client.changed.listDeployments({ params: { namespace }, etag })
      assert.isTrue(Option.isNone(yield* changed))
      yield* cluster.setReplicaCount("personal", "nginx", 13)
      assert.isTrue(Option.isNone(yield* changed))
      yield* cluster.setReplicaCount("personal", "redis", 1)
      const after = Option.getOrThrow(yield* changed)
      assert.deepStrictEqual(after.body.deployments, [...body.deployments, Client.DeploymentName.make("redis")])
      assert.notStrictEqual(after.etag, etag)
    })
  )

  test(
    "the tag of a replica count is the count",
    Effect.gen(function* () {
      const client = yield* connect
      const { etag } = yield* client.tagged.getReplicaCount({ params })
      assert.strictEqual(etag, Client.entityTagOf(count(12)))
      assert.isTrue(Option.isNone(yield* client.changed.getReplicaCount({ params, etag })))
    })
  )

  test(
    "exist for every read",
    Effect.gen(function* () {
      const { changed, tagged } = yield* connect
      const ofNamespace = { params: { namespace } }
      const ofName = { params: { deployment } }
      const unchanged = [
        yield* changed.listNamespaces({ etag: (yield* tagged.listNamespaces()).etag }),
        yield* changed.listDeployments({ ...ofNamespace, etag: (yield* tagged.listDeployments(ofNamespace)).etag }),
        yield* changed.listAllDeployments({ etag: (yield* tagged.listAllDeployments()).etag }),
        yield* changed.listReplicaCounts({ ...ofNamespace, etag: (yield* tagged.listReplicaCounts(ofNamespace)).etag }),
        yield* changed.listAllReplicaCounts({ etag: (yield* tagged.listAllReplicaCounts()).etag }),
        yield* changed.findReplicaCounts({ ...ofName, etag: (yield* tagged.findReplicaCounts(ofName)).etag })
      ]
      assert.isTrue(unchanged.every(({ _tag }) => _tag === "None"))
    })
  )

  test(
    "wait for a change, at most as long as the caller says, and at most 60 seconds",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const client = yield* connect
      const etag = Client.entityTagOf(count(12))
      const waiting = (wait: string & `${number} seconds`) =>
        Effect.forkScoped(client.changed.getReplicaCount({ params, etag, wait }))
      const [short, long] = [yield* waiting("2.5 seconds"), yield* waiting("1000 seconds")]
      yield* TestClock.adjust("2 seconds")
      assert.isUndefined(short.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isNone(yield* Fiber.join(short)))
      yield* TestClock.adjust("56 seconds")
      assert.isUndefined(long.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isNone(yield* Fiber.join(long)))
      const changed = yield* waiting("30 seconds")
      yield* TestClock.adjust("10 seconds")
      yield* cluster.setReplicaCount("personal", "nginx", 13)
      const { body } = Option.getOrThrow(yield* Fiber.join(changed))
      assert.strictEqual(body.replica_count, count(13))
      const deleted = yield* Effect.forkScoped(
        client.changed.getReplicaCount({ params, etag: Client.entityTagOf(count(13)), wait: "30 seconds" })
      )
      yield* TestClock.adjust("10 seconds")
      yield* cluster.deleteNamespace("personal")
      assert.strictEqual((yield* Effect.flip(Fiber.join(deleted)))._tag, "NotFound")
      assert.deepInclude((yield* cluster.requests)[0]?.headers, { "if-none-match": '"12"', prefer: "wait=3" })
    })
  )
})

describe("writes", () => {
  test(
    "set a count, with If-Match only the expected one, and in a dry run none",
    Effect.gen(function* () {
      const client = yield* connect
      const set = (replicas: number, options: Pick<Client.SetReplicaCount, "headers" | "query"> = {}) =>
        client.setReplicaCount({ params: { ...params, replica_count: count(replicas) }, ...options })
      yield* set(13)
      assert.strictEqual(yield* nginx, 13)
      const error = yield* Effect.flip(set(20, { headers: { "if-match": count(12) } }))
      assert.deepInclude(error, { _tag: "PreconditionFailed", current: count(13) })
      yield* set(14, { headers: { "if-match": count(13) } })
      yield* set(14, { headers: { "if-match": count(13) } })
      yield* set(15, { query: { dryRun: "All" } })
      assert.strictEqual(yield* nginx, 14)
    })
  )

  test(
    "without If-Match are refused where it is required",
    Effect.gen(function* () {
      const client = yield* connect
      const write = { params: { ...params, replica_count: count(13) } }
      assert.strictEqual((yield* Effect.flip(client.setReplicaCount(write)))._tag, "PreconditionRequired")
      yield* client.setReplicaCount({ ...write, headers: { "if-match": count(12) } })
      assert.strictEqual(yield* nginx, 13)
    }),
    { requireIfMatch: true }
  )
})

describe("updateReplicaCount", () => {
  test(
    "loses no update of concurrent callers, also where they set the same count",
    Effect.gen(function* () {
      const client = yield* connect
      const increment = client.updateReplicaCount({ params, update: (current) => count(current + 1) })
      const all = yield* Effect.forkScoped(Effect.replicateEffect(increment, 8, { concurrency: "unbounded" }))
      yield* TestClock.adjust("1 minute")
      assert.sameMembers((yield* Fiber.join(all)).map(Number), [13, 14, 15, 16, 17, 18, 19, 20])
      assert.strictEqual(yield* nginx, 20)
    })
  )

  test(
    "calls update with the count of the 412, without another read",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const client = yield* connect
      const seen = yield* Ref.make<ReadonlyArray<number>>([])
      const update = (current: Client.ReplicaCount) =>
        Effect.gen(function* () {
          yield* Ref.update(seen, (all) => [...all, current])
          if (current === 12) yield* cluster.setReplicaCount("personal", "nginx", 30)
          return count(current * 2)
        })
      const updating = yield* Effect.forkScoped(client.updateReplicaCount({ params, update }))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(updating), count(60))
      assert.deepStrictEqual(yield* Ref.get(seen), [12, 30])
      assert.deepStrictEqual(
        (yield* cluster.requests).map(({ method }) => method),
        ["GET", "PUT", "PUT"]
      )
    })
  )

  test(
    "fails with PreconditionFailed after ten attempts, and with the errors of the caller and the service at once",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const client = yield* connect
      const losing = (current: Client.ReplicaCount) =>
        Effect.as(cluster.setReplicaCount("personal", "nginx", current + 1), count(current + 5))
      const updating = yield* Effect.forkScoped(client.updateReplicaCount({ params, update: losing }))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Effect.flip(Fiber.join(updating)))._tag, "PreconditionFailed")
      assert.lengthOf(yield* cluster.requests, 11)
      const refusing = client.updateReplicaCount({ params, update: () => Effect.fail("no" as const) })
      assert.strictEqual(yield* Effect.flip(refusing), "no")
      yield* cluster.refuse(new Client.Unauthorized({}), { endpoint: "setReplicaCount" })
      const denied = client.updateReplicaCount({ params, update: (current) => current })
      assert.strictEqual((yield* Effect.flip(denied))._tag, "Unauthorized")
    })
  )
})

describe("faults", () => {
  test(
    "apply to the next requests, in the order in which they were ordered",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const client = yield* connect
      yield* cluster.refuse(new Client.NotReady({ detail: "not yet" }), { times: 2, endpoint: "getReplicaCount" })
      yield* cluster.disconnect({ endpoint: "getReplicaCount" })
      yield* client.listNamespaces()
      const read = Effect.map(Effect.result(client.getReplicaCount({ params })), (result) =>
        result._tag === "Failure" ? result.failure._tag : result.success.replica_count
      )
      assert.deepStrictEqual(yield* Effect.replicateEffect(read, 4), [
        "NotReady",
        "NotReady",
        "HttpClientError",
        count(12)
      ])
    })
  )

  test(
    "delays add up and come before the answer",
    Effect.gen(function* () {
      const cluster = yield* Testing.TestCluster
      const client = yield* connect
      yield* cluster.delay("2 seconds")
      yield* cluster.delay("3 seconds")
      yield* cluster.refuse(new Client.Internal({}))
      const reading = yield* Effect.forkScoped(Effect.flip(client.listNamespaces()))
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(reading.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(reading))._tag, "Internal")
      yield* client.listNamespaces()
    })
  )

  it.effect("a name that Kubernetes does not allow is a defect", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.provide(connect, Testing.layer({ Personal: {} })))
      assert.isTrue(exit._tag === "Failure" && exit.cause.reasons.some(({ _tag }) => _tag === "Die"))
    })
  )
})
