import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Redacted, Schedule, Scope } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { keysOf } from "../../../src/shared/redis/Keys.ts"
import * as RedisSession from "../../../src/shared/redis/RedisSession.ts"
import * as Sentinels from "../../../src/shared/redis/Sentinels.ts"
import type { SharedCacheOptions } from "../../../src/shared/SharedCacheOptions.ts"
import { eventually } from "../../support/Eventually.ts"
import { file } from "../../support/Pki.ts"
import * as RedisServer from "../../support/RedisServer.ts"
import * as Group from "../../support/RedisSentinels.ts"
import * as TcpProxy from "../../support/TcpProxy.ts"
import { epochsOf, type Instance, start, untilConverged, untilSynced } from "../Instances.ts"
import * as Permissions from "../Permissions.ts"
import { ScriptedCluster } from "../ScriptedCluster.ts"

const keys = keysOf("sentinels")

const through = (
  addresses: Sentinels.Sentinels["sentinels"],
  more: Partial<Sentinels.Sentinels> = {}
): Sentinels.Sentinels => ({
  _tag: "Sentinels",
  sentinels: addresses,
  name: Group.primaryName,
  tls: false,
  ...more
})

const options = (server: Sentinels.Sentinels): SharedCacheOptions => ({
  server,
  keyPrefix: "sentinels",
  lease: Duration.seconds(3),
  maxEntries: 100_000,
  backoffFirst: Duration.millis(5),
  backoffLongest: Duration.millis(200)
})

const connection = { ca: undefined, commandTimeout: Duration.seconds(5) }

/** Two candidates and a reader of a cluster that changes all the time. */
const launch = Effect.fnUntraced(function* (settings: SharedCacheOptions, cluster: ScriptedCluster) {
  const instances = [
    yield* start(settings, cluster),
    yield* start(settings, cluster),
    yield* start(settings, cluster, "reader")
  ]
  yield* untilSynced(instances)
  return instances
})

/** Changes the cluster all the time until `during` has ended. */
const whileChanging = <A, E, R>(cluster: ScriptedCluster, during: Effect.Effect<A, E, R>) => {
  let turn = 0
  const change = Effect.sync(() => {
    cluster.put(`a/${turn % 7}`)
    if (turn++ % 5 === 0) cluster.delete(`a/${turn % 7}`)
  })
  const changing = Effect.andThen(Effect.repeat(change, Schedule.spaced("20 millis")), Effect.never)
  return Effect.raceFirst(during, changing)
}

const untilOlder = ({ cache }: Instance, seconds: number) =>
  eventually(cache.age, (age) => age !== undefined && age >= seconds)

/** Waits until all instances agree with the cluster, and checks what they showed and what the leaders wrote. */
const settle = Effect.fnUntraced(function* (
  { primary }: Group.RedisSentinels,
  instances: ReadonlyArray<Instance>,
  cluster: ScriptedCluster
) {
  cluster.put("keep/always")
  yield* untilConverged(instances, cluster, "")
  for (const { violations } of instances) assert.deepStrictEqual(violations, [])
  const { server } = yield* primary
  return epochsOf(yield* server.command("XRANGE", keys.events, "-", "+"))
})

const failover = { downAfterMillis: 1000 }
/** With these a primary without replicas refuses writes before another is promoted. */
const guarded = { downAfterMillis: 4000, settings: ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"] }

describe("instances that share a cache in a Redis with Sentinels", () => {
  it.live("follow the Sentinels to another primary if the primary is killed, and when it returns empty", () =>
    Effect.gen(function* () {
      const group = yield* Group.make(failover)
      const cluster = new ScriptedCluster()
      const instances = yield* launch(options(through(group.addresses)), cluster)
      const old = yield* group.primary
      yield* whileChanging(cluster, Effect.andThen(old.server.stop, group.failedOver(old)))
      yield* settle(group, instances, cluster)
      yield* whileChanging(cluster, Effect.andThen(old.server.start, group.demoted(old)))
      yield* settle(group, instances, cluster)
      // A Sentinel that knows of no failover counts less, and so does one that does not answer.
      const other = yield* RedisServer.started()
      const outdated = yield* Group.startSentinel(other.port, failover)
      const silent = yield* TcpProxy.make(() => 0)
      yield* silent.lose(() => true, true)
      const all = [
        { host: "127.0.0.1", port: outdated.port },
        { host: "127.0.0.1", port: silent.port },
        ...group.addresses
      ]
      const { address } = yield* Sentinels.primary(through(all), connection)
      assert.strictEqual(address.port, (yield* group.primary).proxy.port)
      assert.strictEqual(yield* eventually(silent.open, (open) => open === 0), 0)
    }).pipe(Effect.scoped)
  )

  it.live("leave a primary that stops answering, and do not return when it answers again", () =>
    Effect.gen(function* () {
      const group = yield* Group.make(failover)
      const cluster = new ScriptedCluster()
      const instances = yield* launch(options(through(group.addresses)), cluster)
      const old = yield* group.primary
      yield* whileChanging(cluster, Effect.andThen(old.server.freeze, group.failedOver(old)))
      yield* settle(group, instances, cluster)
      yield* whileChanging(cluster, Effect.andThen(old.server.thaw, group.demoted(old)))
      yield* settle(group, instances, cluster)
    }).pipe(Effect.scoped)
  )

  it.live("have one leader that writes if a partition leaves the old primary to a leader", () =>
    Effect.gen(function* () {
      const group = yield* Group.make(guarded)
      const cluster = new ScriptedCluster()
      const proxies = yield* Effect.forEach(group.sentinels, ({ port }) => TcpProxy.make(() => port))
      const apart = through(proxies.map(({ port }) => ({ host: "127.0.0.1", port })))
      // The first leads.
      const isolated = yield* start(options(apart), cluster)
      yield* untilSynced([isolated])
      const others = yield* launch(options(through(group.addresses)), cluster)
      const session = yield* RedisSession.connect({
        server: through(group.addresses),
        commandTimeout: Duration.seconds(1),
        silenceLimit: Duration.minutes(1)
      })
      const old = yield* group.primary
      // The old primary keeps its clients, and loses its replicas, the Sentinels and new clients.
      const isClient = ({ sent }: TcpProxy.ProxiedConnection) => sent.includes("kube-resource-api")
      const cut = Effect.andThen(
        old.proxy.lose((one) => !isClient(one), true),
        Effect.forEach(proxies, ({ lose }) => lose(() => true, true))
      )
      yield* whileChanging(
        cluster,
        Effect.gen(function* () {
          yield* cut
          yield* group.failedOver(old)
          // The old primary still answers those that can reach the Sentinels, and they leave it.
          yield* eventually(Effect.exit(session.send("PING")), (exit) =>
            String(exit).includes("the Sentinels made 127.0.0.1:")
          )
          yield* untilOlder(isolated, 2)
        })
      )
      const epochs = yield* settle(group, others, cluster)
      const ofOld = epochsOf(yield* old.server.command("XRANGE", keys.events, "-", "+"))
      const [lastOfOld] = ofOld.slice(-1)
      const next = epochs.find(({ epoch }) => !ofOld.some((one) => one.epoch === epoch))
      assert(lastOfOld !== undefined && next !== undefined)
      assert.isBelow(lastOfOld.lastAt, next.firstAt)
      assert.isAtLeast(isolated.cache.age() ?? 0, 2)
      yield* whileChanging(
        cluster,
        Effect.gen(function* () {
          yield* Effect.forEach([old.proxy, ...proxies], ({ heal }) => heal)
          yield* group.demoted(old)
        })
      )
      yield* settle(group, [isolated, ...others], cluster)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("do not go back if the promoted replica holds an earlier state", () =>
    Effect.gen(function* () {
      const group = yield* Group.make(failover)
      const cluster = new ScriptedCluster()
      const instances = yield* launch(options(through(group.addresses)), cluster)
      const old = yield* group.primary
      cluster.put("b/x")
      yield* settle(group, instances, cluster)
      yield* old.proxy.lose(({ sent }) => sent.includes("PSYNC"), false)
      // The replicas see neither these changes nor the next leader.
      cluster.put("b/x")
      cluster.delete("b/x")
      const leaders = cluster.runs.all
      yield* old.server.command("DEL", keys.lease)
      yield* eventually(
        () => cluster.runs.all,
        (count) => count > leaders
      )
      cluster.put("b/y")
      const before = yield* settle(group, instances, cluster)
      yield* Effect.andThen(old.server.stop, group.failedOver(old))
      const after = yield* settle(group, instances, cluster)
      const lost = before.at(-1)?.epoch
      assert(lost !== undefined && before.length > 1)
      assert.isFalse(after.some(({ epoch }) => epoch === lost))
      assert.isAbove(after.at(-1)?.epoch ?? 0, lost)
    }).pipe(Effect.scoped)
  )

  it.live("use TLS, and users with the documented permissions at the Sentinels and at the servers", () =>
    Effect.gen(function* () {
      const passwords = { password: "of:servers@", sentinelPassword: "of/sentinels" }
      const group = yield* Group.make({ ...failover, secured: passwords })
      const permit = (
        server: RedisServer.RedisServer["Service"],
        password: string,
        permissions: ReadonlyArray<string>
      ) => server.command("ACL", "SETUSER", "service", "on", `>${password}`, ...permissions)
      for (const { server } of group.nodes)
        yield* permit(server, passwords.password, Permissions.atServers("sentinels"))
      for (const one of group.sentinels) yield* permit(one, passwords.sentinelPassword, Permissions.atSentinels)
      const cluster = new ScriptedCluster()
      const server = through(group.addresses, {
        tls: true,
        username: "service",
        password: Redacted.make(passwords.password),
        sentinelUsername: "service",
        sentinelPassword: Redacted.make(passwords.sentinelPassword)
      })
      const settings = { ...options(server), caFile: file("ca.crt") }
      const instances = yield* launch(settings, cluster)
      const old = yield* group.primary
      yield* whileChanging(cluster, Effect.andThen(old.server.stop, group.failedOver(old)))
      yield* settle(group, instances, cluster)
    }).pipe(Effect.scoped)
  )
})

describe("Sentinels", () => {
  it.live("that do not answer are given up at once when the caller is interrupted", () =>
    Effect.gen(function* () {
      const silent = yield* TcpProxy.make(() => 0)
      yield* silent.lose(() => true, true)
      const asked = through([{ host: "127.0.0.1", port: silent.port }])
      const patient = { ca: undefined, commandTimeout: Duration.minutes(5) }
      const scope = yield* Scope.make()
      const asking = yield* Effect.forkIn(Sentinels.primary(asked, patient), scope)
      yield* eventually(silent.open, (open) => open === 1)
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(asking)))
      yield* eventually(silent.open, (open) => open === 0)
    }).pipe(Effect.scoped)
  )

  it.live("that name no primary are listed with their reasons", () =>
    Effect.gen(function* () {
      const plain = yield* RedisServer.started()
      const sentinel = yield* Group.startSentinel(plain.port, failover)
      const all = [sentinel.port, plain.port, 1].map((port) => ({ host: "127.0.0.1", port }))
      const error = yield* Effect.flip(Sentinels.primary({ ...through(all), name: "another" }, connection))
      const reason = String(error.cause)
      assert.include(reason, `127.0.0.1:${sentinel.port}: ERR No such master with that name`)
      assert.include(reason, `127.0.0.1:${plain.port}: ERR unknown command 'SENTINEL'`)
      assert.include(reason, "127.0.0.1:1: connect ECONNREFUSED")
    }).pipe(Effect.scoped)
  )
})
