import { assert } from "@effect/vitest"
import { Effect, Fiber, Option, Ref, Stream } from "effect"
import { readFileSync } from "node:fs"
import * as Client from "../../src/client/Client.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { eventually } from "../support/Eventually.ts"
import { file } from "../support/Pki.ts"
import * as TcpProxy from "../support/TcpProxy.ts"
import { TestService, withService } from "../support/TestService.ts"

const pem = (name: string) => readFileSync(file(name), "utf8")

const asAdmin = Client.layerMutualTls({ ca: pem("ca.crt"), cert: pem("admin.crt"), key: pem("admin.key") })

const namespace = Client.NamespaceName.make("personal")
const deployment = Client.DeploymentName.make("nginx")
const params = { namespace, deployment }

/** Follows a stream in the background. Gives the states so far, and its end. */
const follow = Effect.fnUntraced(function* <A, E>(stream: Stream.Stream<A, E>) {
  const shown = yield* Ref.make<ReadonlyArray<A>>([])
  const fiber = yield* Effect.forkScoped(
    Stream.runForEach(stream, (state) => Ref.update(shown, (all) => [...all, state]))
  )
  return { shown: Ref.get(shown), end: Fiber.join(fiber) }
})

withService()("the streams of a running service", (it) => {
  it.effect("show the state of every read after each change, also over connections that are cut", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { cluster } = yield* EmbeddedKube
      const proxy = yield* TcpProxy.make(() => port)
      const direct = yield* Client.make(`https://localhost:${port}`)
      const client = yield* Client.make(`https://localhost:${proxy.port}`)
      const ofNamespace = { params: { namespace } }
      const ofName = { params: { deployment } }
      const follows = <A, E, E2>(stream: Stream.Stream<A, E>, read: Effect.Effect<A, E2>) =>
        Effect.map(follow(stream), ({ shown }) =>
          eventually(Effect.all([shown, read]), ([states, now]) => assert.deepStrictEqual(states.at(-1), now))
        )
      const checks = [
        yield* follows(client.watchNamespaces(), direct.listNamespaces()),
        yield* follows(client.watchDeployments(ofNamespace), direct.listDeployments(ofNamespace)),
        yield* follows(client.watchAllDeployments(), direct.listAllDeployments()),
        yield* follows(client.watchReplicaCount({ params }), direct.getReplicaCount({ params })),
        yield* follows(client.watchReplicaCounts(ofNamespace), direct.listReplicaCounts(ofNamespace)),
        yield* follows(client.watchAllReplicaCounts(), direct.listAllReplicaCounts()),
        yield* follows(client.watchFoundReplicaCounts(ofName), direct.findReplicaCounts(ofName))
      ]
      const check = Effect.all(checks)
      yield* check
      const edits = [
        cluster.createNamespace("other"),
        cluster.putDeployment("other", "nginx", 4),
        cluster.scale("personal", "nginx", 0),
        cluster.deleteDeployment("personal", "kafka"),
        cluster.deleteNamespace("other"),
        cluster.scale("personal", "nginx", 12)
      ]
      for (const [at, edit] of edits.entries()) {
        if (at % 2 === 1)
          yield* Effect.andThen(
            proxy.lose(() => true, false),
            proxy.heal
          )
        yield* edit
        yield* check
      }
    }).pipe(Effect.provide(asAdmin))
  )

  it.effect("fail with NotFound after the deployment was deleted", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { cluster } = yield* EmbeddedKube
      const client = yield* Client.make(`https://localhost:${port}`)
      yield* cluster.putDeployment("default", "nginx", 1)
      const params = { namespace: Client.NamespaceName.make("default"), deployment }
      yield* eventually(Effect.exit(client.getReplicaCount({ params })), ({ _tag }) => _tag === "Success")
      const { end, shown } = yield* follow(client.watchReplicaCount({ params }))
      yield* eventually(shown, (states) => states.length === 1)
      yield* cluster.deleteDeployment("default", "nginx")
      assert.strictEqual((yield* Effect.flip(end))._tag, "NotFound")
    }).pipe(Effect.provide(asAdmin))
  )

  it.effect("fail for a caller without a certificate", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const client = yield* Client.make(`https://localhost:${port}`)
      const error = yield* Effect.flip(Stream.runDrain(client.watchNamespaces()))
      assert.strictEqual(error._tag, "Unidentified")
    }).pipe(
      Effect.provide(Client.layerMutualTls({ ca: pem("ca.crt"), cert: pem("stranger.crt"), key: pem("stranger.key") }))
    )
  )

  it.effect("close their connection when they are interrupted", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const proxy = yield* TcpProxy.make(() => port)
      const client = yield* Client.make(`https://localhost:${proxy.port}`)
      yield* Stream.runDrain(Stream.take(client.watchNamespaces(), 1))
      yield* eventually(proxy.open, (open) => open === 0)
    }).pipe(Effect.provide(asAdmin))
  )

  it.effect("a conditional read waits for a change", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const { cluster } = yield* EmbeddedKube
      const client = yield* Client.make(`https://localhost:${port}`)
      const { etag } = yield* client.tagged.getReplicaCount({ params })
      assert.isTrue(Option.isNone(yield* client.changed.getReplicaCount({ params, etag })))
      const waiting = yield* Effect.forkScoped(client.changed.getReplicaCount({ params, etag, wait: "30 seconds" }))
      yield* cluster.scale("personal", "nginx", 38)
      const changed = Option.getOrThrow(yield* Fiber.join(waiting))
      assert.strictEqual(changed.body.replica_count, Client.ReplicaCount.make(38))
      assert.strictEqual(changed.etag, Client.entityTagOf(changed.body.replica_count))
    }).pipe(Effect.provide(asAdmin))
  )

  it.effect("concurrent updates of a replica count are all counted", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const client = yield* Client.make(`https://localhost:${port}`)
      const params = {
        namespace: Client.NamespaceName.make("kube-system"),
        deployment: Client.DeploymentName.make("fred")
      }
      const before = yield* client.getReplicaCount({ params })
      const increment = client.updateReplicaCount({
        params,
        update: (current) => Client.ReplicaCount.make(current + 1)
      })
      yield* Effect.replicateEffect(increment, 5, { concurrency: "unbounded" })
      const after = yield* client.getReplicaCount({ params })
      assert.strictEqual(after.replica_count, Client.ReplicaCount.make(before.replica_count + 5))
    }).pipe(Effect.provide(asAdmin))
  )
})
