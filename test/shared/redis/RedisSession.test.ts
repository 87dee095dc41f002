import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Redacted, Scope } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { keysOf } from "../../../src/shared/redis/Keys.ts"
import * as RedisSession from "../../../src/shared/redis/RedisSession.ts"
import * as Scripts from "../../../src/shared/redis/Scripts.ts"
import * as SharedRedis from "../../../src/shared/redis/SharedRedis.ts"
import { eventually } from "../../support/Eventually.ts"
import { started } from "../../support/RedisServer.ts"
import * as TcpProxy from "../../support/TcpProxy.ts"

const connect = (url: string, commandTimeout: Duration.Duration = Duration.seconds(5)) =>
  RedisSession.connect({
    server: { _tag: "Url", url: Redacted.make(url) },
    commandTimeout,
    silenceLimit: Duration.minutes(5)
  })

/** A proxy that accepts connections and never answers. */
const blackHole = Effect.gen(function* () {
  const proxy = yield* TcpProxy.make(() => 0)
  yield* proxy.lose(() => true, true)
  return proxy
})

const clusterNode = (...settings: ReadonlyArray<string>) =>
  started("--cluster-enabled", "yes", "--dir", mkdtempSync(join(tmpdir(), "kube-resource-api-redis-")), ...settings)

describe("a Redis session", () => {
  it.live("fails if the server does not answer in time, and leaves no socket", () =>
    Effect.gen(function* () {
      const silent = yield* blackHole
      const error = yield* Effect.flip(
        Effect.scoped(connect(`redis://:s3cret@127.0.0.1:${silent.port}`, Duration.millis(50)))
      )
      assert.strictEqual(SharedRedis.reasonOf(error), "no reply within 50 ms")
      yield* eventually(silent.open, (open) => open === 0)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("closes its socket at once if its scope closes while it connects", () =>
    Effect.gen(function* () {
      const silent = yield* blackHole
      const scope = yield* Scope.make()
      yield* Effect.forkIn(
        Scope.provide(connect(`redis://127.0.0.1:${silent.port}`, Duration.minutes(5)), scope),
        scope
      )
      yield* eventually(silent.open, (open) => open === 1)
      yield* Scope.close(scope, Exit.void)
      yield* eventually(silent.open, (open) => open === 0)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("fails its commands when the server closes the connection, and never connects again", () =>
    Effect.gen(function* () {
      const redis = yield* started()
      const session = yield* connect(Redacted.value(redis.url))
      assert.strictEqual(yield* session.send("PING"), "PONG")
      yield* redis.command("CLIENT", "KILL", "TYPE", "normal")
      yield* eventually(Effect.exit(session.send("PING")), Exit.isFailure)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(session.send("PING"))))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("is refused by a node of a Redis Cluster, with the fix", () =>
    Effect.gen(function* () {
      const node = yield* clusterNode()
      const error = yield* Effect.flip(connect(Redacted.value(node.url)))
      assert.instanceOf(error.cause, RedisSession.UnsupportedServer)
      assert.match(SharedRedis.reasonOf(error), /node of a Redis Cluster.+cluster mode disabled/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("names Redis Cluster as the reason of a refused command if the server hides its mode", () =>
    Effect.gen(function* () {
      const node = yield* clusterNode("--rename-command", "HELLO", "")
      const session = yield* connect(Redacted.value(node.url))
      const error = yield* Effect.flip(session.eval(Scripts.look)(keysOf("test")))
      assert.match(SharedRedis.reasonOf(error), /^CLUSTERDOWN .+Redis Cluster is not supported/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
