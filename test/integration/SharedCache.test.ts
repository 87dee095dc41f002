import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { mkdtempSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { keysOf } from "../../src/shared/redis/Keys.ts"
import { eventually } from "../support/Eventually.ts"
import { make as makeGroup, primaryName, startSentinel } from "../support/RedisSentinels.ts"
import { RedisServer, started } from "../support/RedisServer.ts"
import { type Answer, send } from "../support/Https.ts"
import { kubeconfig } from "../support/Kubeconfig.ts"
import { file } from "../support/Pki.ts"
import { demoSettings, type Instance, start } from "../support/Process.ts"

const count = "/namespaces/personal/deployments/nginx/replica_count"
const reads = [
  "/namespaces",
  "/namespaces/personal/deployments",
  "/namespaces/ANY/deployments",
  count,
  "/namespaces/ANY/deployments/ANY/replica_count"
]

const get = (port: number, path: string) => send(port, { client: "admin", path })
const ageOf = ({ headers }: Answer) => Number(headers["age"])

const isCurrent = (answer: Answer) => answer.status === 200 && ageOf(answer) === 0

const documented = readFileSync(new URL("../../docs/observability.md", import.meta.url), "utf8")

const leads = "Became leader"
const listsOrWatches = Effect.gen(function* () {
  const kube = yield* EmbeddedKube
  return (yield* kube.requests).filter(({ verb }) => verb === "list" || verb === "watch")
})

describe("watchers and servers that share a cache in Redis", () => {
  it.live(
    "one watcher leads, all servers show the cluster, and they go on without it and without Redis",
    () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        const redis = yield* RedisServer
        const launch = (role: string) =>
          Effect.gen(function* () {
            const instance = yield* start({
              ...demoSettings,
              DRAIN_PERIOD: "0s",
              KUBE_SOURCE: "kubeconfig",
              KUBECONFIG: kubeconfig(kube.url, { token: "test" }),
              CACHE: "redis",
              ROLE: role,
              REDIS_URL: Redacted.value(redis.url),
              WATCHER_LEASE: "1s"
            })
            return { instance, port: yield* instance.port }
          })
        const end = ({ instance }: { readonly instance: Instance }) =>
          Effect.suspend(() => {
            instance.child.kill("SIGKILL")
            return instance.exited
          })

        // Servers alone neither list nor watch, and have nothing to show.
        const [one, two] = yield* Effect.all([launch("server"), launch("server")], { concurrency: 2 })
        assert.strictEqual((yield* get(one.port, "/readyz")).status, 503)
        assert.strictEqual((yield* get(one.port, "/namespaces")).status, 503)
        assert.deepStrictEqual(yield* listsOrWatches, [])

        // With watchers they show the cluster, which is watched once.
        const watchers = yield* Effect.all([launch("watcher"), launch("watcher")], { concurrency: 2 })
        for (const { port } of [one, two, ...watchers])
          yield* eventually(get(port, "/readyz"), ({ status }) => status === 200)
        for (const path of reads) {
          const [first, second] = [
            yield* eventually(get(one.port, path), isCurrent),
            yield* eventually(get(two.port, path), isCurrent)
          ]
          assert.strictEqual(first.body, second.body)
        }
        assert.deepStrictEqual(JSON.parse((yield* get(one.port, "/namespaces")).body), {
          namespaces: Object.keys(demoSeed).toSorted()
        })
        assert.strictEqual(yield* kube.openWatches("namespaces"), 1)
        assert.strictEqual(yield* kube.openWatches("deployments"), 1)
        assert.lengthOf(yield* listsOrWatches, 2)

        // A watcher serves probes and metrics alone.
        for (const { port } of watchers) {
          for (const path of reads) {
            const answer = yield* get(port, path)
            assert.strictEqual(answer.status, 404)
            assert.include(answer.body, '"code":"UnknownEndpoint"')
          }
          assert.strictEqual((yield* send(port, { client: "admin", method: "PUT", path: `${count}/3` })).status, 404)
          assert.strictEqual((yield* send(port, { client: "none", path: "/livez" })).status, 200)
          const page = (yield* get(port, "/metrics")).body
          assert.include(page, "shared_cache_leader")
          for (const [, name] of page.matchAll(/^# TYPE (\w+) /gm)) assert.include(documented, `\`${name}\``)
          assert.notInclude((yield* get(port, "/openapi.json")).body, "listNamespaces")
        }

        // The instance that took a write shows it at once, the others soon.
        assert.strictEqual((yield* send(one.port, { client: "admin", method: "PUT", path: `${count}/7` })).status, 200)
        assert.include((yield* get(one.port, count)).body, '"replica_count":7')
        yield* eventually(get(two.port, count), ({ body }) => body.includes('"replica_count":7'))

        // The leader is killed, and the other watcher takes over.
        const leader = watchers.find(({ instance }) => instance.output().includes(leads))
        const standby = watchers.find((one) => one !== leader)
        assert.isDefined(leader)
        if (leader === undefined || standby === undefined) return
        assert.notInclude(standby.instance.output(), leads)
        yield* end(leader)
        yield* standby.instance.printed(leads)
        yield* kube.cluster.scale("personal", "nginx", 8)
        for (const { port } of [one, two]) {
          yield* eventually(
            get(port, count),
            (answer) => isCurrent(answer) && answer.body.includes('"replica_count":8')
          )
        }
        assert.strictEqual(yield* kube.openWatches(), 2)

        // Without a leader the last known state is served and ages, also on a server that starts now.
        yield* end(standby)
        const before = ageOf(
          yield* eventually(get(one.port, count), (answer) => answer.status === 200 && ageOf(answer) >= 1)
        )
        const late = yield* launch("server")
        const after = yield* eventually(get(late.port, count), ({ status }) => status === 200)
        assert.isAtLeast(ageOf(after), before)
        assert.include(after.body, '"replica_count":8')
        assert.strictEqual((yield* get(late.port, "/readyz")).status, 200)
        yield* kube.cluster.scale("personal", "nginx", 9)
        const next = yield* launch("watcher")
        for (const { port } of [one, two, late]) {
          yield* eventually(
            get(port, count),
            (answer) => isCurrent(answer) && answer.body.includes('"replica_count":9')
          )
        }

        // Redis is killed and returns empty.
        yield* redis.stop
        for (const { port } of [one, two]) {
          const answer = yield* eventually(get(port, count), (answer) => ageOf(answer) >= 1)
          assert.strictEqual(answer.status, 200)
          assert.include(answer.body, '"replica_count":9')
        }
        assert.strictEqual((yield* send(one.port, { client: "admin", method: "PUT", path: `${count}/2` })).status, 200)
        assert.include((yield* get(one.port, count)).body, '"replica_count":2')
        yield* redis.start
        for (const { port } of [one, two, late]) {
          yield* eventually(
            get(port, count),
            (answer) => isCurrent(answer) && answer.body.includes('"replica_count":2')
          )
        }

        // A shutdown releases the lease.
        next.instance.child.kill("SIGTERM")
        assert.strictEqual(yield* next.instance.exited, 0)
        assert.strictEqual(yield* redis.command("EXISTS", keysOf("kube-resource-api").lease), 0)
      }).pipe(
        Effect.scoped,
        Effect.provide([EmbeddedKube.layer({ seed: demoSeed, tokens: ["test"] }), RedisServer.layer()])
      ),
    60_000
  )
})

describe("two clusters with one Redis and one prefix", () => {
  /** An embedded cluster with one deployment, and how to start an instance that serves it. */
  const clusterOf = Effect.fnUntraced(function* (namespace: string, redis: RedisServer["Service"]) {
    const services = yield* Layer.build(
      EmbeddedKube.layer({ seed: { "kube-system": {}, [namespace]: { nginx: 1 } }, tokens: ["test"] })
    )
    const kube = Context.get(services, EmbeddedKube)
    const launch = Effect.fnUntraced(function* (role: string, settings: Readonly<Record<string, string>> = {}) {
      const instance = yield* start({
        ...demoSettings,
        DRAIN_PERIOD: "0s",
        KUBE_SOURCE: "kubeconfig",
        KUBECONFIG: kubeconfig(kube.url, { token: "test" }),
        CACHE: "redis",
        ROLE: role,
        REDIS_URL: Redacted.value(redis.url),
        WATCHER_LEASE: "1s",
        ...settings
      })
      return { instance, port: yield* instance.port }
    })
    return { kube, launch }
  })
  const mismatch = "Redis holds the state of another cluster"
  const namespacesOf = (port: number) => Effect.map(get(port, "/namespaces"), ({ body }) => body)
  const lines = (instance: Instance) => instance.output().split("\n")

  it.live(
    "the second neither leads nor shows the first nor writes, says why, and works once it has another prefix",
    () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const [blue, green] = [yield* clusterOf("blue", redis), yield* clusterOf("green", redis)]
        const [watcher, server] = yield* Effect.all([blue.launch("watcher"), blue.launch("server")], {
          concurrency: 2
        })
        yield* eventually(get(server.port, "/namespaces"), isCurrent)

        const [candidate, foreign] = yield* Effect.all([green.launch("watcher"), green.launch("server")], {
          concurrency: 2
        })
        yield* candidate.instance.printed(`Cannot stand by as leader. ${mismatch}`)
        for (const { instance, port } of [candidate, foreign]) {
          yield* instance.printed(`"${mismatch}`)
          const errors = lines(instance).filter((line) => line.includes(mismatch))
          for (const line of errors) {
            assert.match(line, /"ERROR"/)
            assert.include(line, "REDIS_KEY_PREFIX")
            assert.include(line, "{kube-resource-api}:v2:*")
            assert.match(line, /"serves":"uid \S+, endpoint \S+"/)
          }
          assert.strictEqual((yield* get(port, "/readyz")).status, 503)
          const page = yield* eventually(get(port, "/metrics"), ({ status }) => status === 200)
          assert.match(page.body, /^shared_cache_foreign 1$/m)
        }
        const path = "/namespaces/blue/deployments/nginx/replica_count"
        assert.strictEqual((yield* get(foreign.port, "/namespaces")).status, 503)
        assert.strictEqual((yield* get(foreign.port, path)).status, 503)
        assert.strictEqual(
          (yield* send(foreign.port, { client: "admin", method: "PUT", path: `${path}/5` })).status,
          503
        )
        assert.strictEqual(yield* green.kube.openWatches(), 0)

        // The first goes on, also when its leader is replaced.
        yield* blue.kube.cluster.scale("blue", "nginx", 3)
        yield* eventually(get(server.port, path), ({ body }) => body.includes('"replica_count":3'))
        watcher.instance.child.kill("SIGKILL")
        yield* watcher.instance.exited
        yield* eventually(get(server.port, path), (answer) => ageOf(answer) >= 2)
        assert.notInclude(candidate.instance.output(), leads)
        yield* blue.launch("watcher")
        yield* eventually(get(server.port, "/namespaces"), isCurrent)
        assert.include(yield* namespacesOf(server.port), "blue")

        const apart = { REDIS_KEY_PREFIX: "green" }
        const [, separate] = yield* Effect.all([green.launch("watcher", apart), green.launch("server", apart)], {
          concurrency: 2
        })
        yield* eventually(get(separate.port, "/namespaces"), isCurrent)
        assert.deepStrictEqual(JSON.parse(yield* namespacesOf(separate.port)), { namespaces: ["green", "kube-system"] })
        assert.match((yield* get(separate.port, "/metrics")).body, /^shared_cache_foreign 0$/m)
      }).pipe(Effect.scoped, Effect.provide(RedisServer.layer())),
    120_000
  )

  it.live("a server starts while its cluster cannot be reached, and shows its state, but not another's", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const [blue, green] = [yield* clusterOf("blue", redis), yield* clusterOf("green", redis)]
      yield* blue.launch("watcher")
      const first = yield* blue.launch("server")
      yield* eventually(get(first.port, "/namespaces"), isCurrent)
      yield* blue.kube.faults.unavailable(true)
      yield* green.kube.faults.unavailable(true)
      const late = yield* blue.launch("server")
      const foreign = yield* green.launch("server")
      yield* eventually(get(late.port, "/namespaces"), ({ status }) => status === 200)
      yield* foreign.instance.printed(`"${mismatch}`)
      assert.strictEqual((yield* get(foreign.port, "/namespaces")).status, 503)
      yield* blue.kube.faults.unavailable(false)
      yield* eventually(get(late.port, "/namespaces"), isCurrent)
    }).pipe(Effect.scoped, Effect.provide(RedisServer.layer()))
  )
})

describe("the connection to Redis", () => {
  const shared = { ...demoSettings, CACHE: "redis", DRAIN_PERIOD: "0s" }
  const secured = RedisServer.layer(
    `--requirepass s3cret --tls-port $PORT --tls-auth-clients no --tls-cert-file ${file("server.crt")} --tls-key-file ${file("server.key")} --tls-ca-cert-file ${file("ca.crt")}`.split(
      " "
    ),
    (port) => `rediss://:s3cret@localhost:${port}`
  )

  it.live("uses TLS and a password if the URL says so, and both must be right", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const url = Redacted.value(redis.url)
      const good = yield* start({ ...shared, REDIS_URL: url, REDIS_CA_FILE: file("ca.crt") })
      const port = yield* good.port
      yield* eventually(get(port, "/readyz"), ({ status }) => status === 200)
      yield* eventually(get(port, "/namespaces"), isCurrent)
      assert.notInclude(good.output(), "s3cret")
      const refused = [
        [{ REDIS_URL: url.replace("s3cret", "s3crets"), REDIS_CA_FILE: file("ca.crt") }, "WRONGPASS"],
        [{ REDIS_URL: url, REDIS_CA_FILE: file("other-ca.crt") }, "certificate"],
        [{ REDIS_URL: "redis://:s3cret@127.0.0.1:1" }, "ECONNREFUSED"]
      ] as const
      yield* Effect.forEach(
        refused,
        ([settings, words]) =>
          Effect.gen(function* () {
            const bad = yield* start({ ...shared, ...settings, REDIS_KEY_PREFIX: "other" })
            yield* bad.printed("Cannot read the cluster's state from Redis")
            assert.include(bad.output(), words)
            const port = yield* bad.port
            assert.strictEqual((yield* get(port, "/livez")).status, 200)
            assert.strictEqual((yield* get(port, "/readyz")).status, 503)
            assert.notInclude(bad.output(), "s3cret")
            bad.child.kill("SIGTERM")
            assert.strictEqual(yield* bad.exited, 0)
            // Logged once, however often it retries.
            assert.lengthOf(bad.output().split("Cannot read the cluster's state"), 2)
          }),
        { concurrency: 3 }
      )
    }).pipe(Effect.scoped, Effect.provide(secured))
  )

  it.live("ends the start if the server is a node of a Redis Cluster, or a Sentinel", () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "kube-resource-api-redis-"))
      const cluster = yield* started("--cluster-enabled", "yes", "--dir", folder)
      const sentinel = yield* startSentinel(cluster.port, { downAfterMillis: 60_000 })
      const refused = [
        [{ REDIS_URL: Redacted.value(cluster.url) }, "REDIS_URL=<not shown>: the server is a node of a Redis Cluster"],
        [{ REDIS_URL: Redacted.value(sentinel.url) }, "REDIS_URL=<not shown>: the server is a Redis Sentinel"],
        [
          { REDIS_SENTINELS: `127.0.0.1:${sentinel.port}`, REDIS_SENTINEL_NAME: primaryName },
          `REDIS_SENTINELS=127.0.0.1:${sentinel.port}: the server is a node of a Redis Cluster`
        ]
      ] as const
      yield* Effect.forEach(
        refused,
        ([settings, words]) =>
          Effect.gen(function* () {
            const instance = yield* start({ ...shared, ...settings })
            assert.notStrictEqual(yield* instance.exited, 0)
            assert.include(instance.output(), `Cannot start: ${words}`)
          }),
        { concurrency: 3 }
      )
    }).pipe(Effect.scoped)
  )

  it.live("starts without Redis, and logs that a server that comes later is a node of a Redis Cluster", () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "kube-resource-api-redis-"))
      const cluster = yield* started("--cluster-enabled", "yes", "--dir", folder)
      yield* cluster.stop
      const instance = yield* start({ ...shared, REDIS_URL: Redacted.value(cluster.url) })
      yield* instance.printed("ECONNREFUSED")
      yield* cluster.start
      yield* instance.printed("node of a Redis Cluster, which is not supported")
      const port = yield* instance.port
      assert.strictEqual((yield* get(port, "/livez")).status, 200)
      assert.strictEqual((yield* get(port, "/readyz")).status, 503)
    }).pipe(Effect.scoped)
  )

  it.live("goes through Sentinels, with TLS and passwords, and outlives the primary", () =>
    Effect.gen(function* () {
      const secured = { password: "s3cret", sentinelPassword: "s3cret too" }
      const group = yield* makeGroup({ downAfterMillis: 1000, secured })
      const instance = yield* start({
        ...shared,
        REDIS_SENTINELS: group.addresses.map(({ host, port }) => `${host}:${port}`).join(","),
        REDIS_SENTINEL_NAME: primaryName,
        REDIS_PASSWORD: secured.password,
        REDIS_SENTINEL_PASSWORD: secured.sentinelPassword,
        REDIS_TLS: "true",
        REDIS_CA_FILE: file("ca.crt"),
        WATCHER_LEASE: "3s"
      })
      const port = yield* instance.port
      yield* eventually(get(port, "/namespaces"), isCurrent)
      const old = yield* group.primary
      yield* old.server.stop
      yield* group.failedOver(old)
      yield* instance.printed("Reading the cluster's state from Redis again")
      yield* eventually(get(port, "/namespaces"), isCurrent)
      assert.notInclude(instance.output(), "s3cret")
    }).pipe(Effect.scoped)
  )

  it.live("is not attempted with invalid settings", () =>
    Effect.gen(function* () {
      const refused = [
        [{ REDIS_URL: "rediss://:s3cret@localhost", REDIS_CA_FILE: "nowhere.pem" }, "REDIS_CA_FILE=nowhere.pem"],
        [{ REDIS_URL: "rediss://:s3cret@localhost", REDIS_CA_FILE: "package.json" }, "REDIS_CA_FILE=package.json"],
        [{ REDIS_URL: "http://:s3cret@localhost" }, "REDIS_URL=<not shown>"]
      ] as const
      yield* Effect.forEach(
        refused,
        ([settings, words]) =>
          Effect.gen(function* () {
            const instance = yield* start({ ...shared, ...settings })
            assert.notStrictEqual(yield* instance.exited, 0)
            assert.include(instance.output(), `Cannot start: ${words}`)
            assert.notInclude(instance.output(), "s3cret")
          }),
        { concurrency: 3 }
      )
    }).pipe(Effect.scoped)
  )
})
