import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { ns } from "../cache/Given.ts"
import { eventually } from "../support/Eventually.ts"
import { send } from "../support/Https.ts"
import { TestService, withService } from "../support/TestService.ts"

const deployments = "/namespaces/later/deployments"
const count = `${deployments}/web/replica_count`
const one = '{"namespace":"later","deployment":"web","replica_count":7}'

/** The response body, or the status if it is not 200. */
const body = (path: string, method = "GET") =>
  Effect.flatMap(TestService, ({ port }) => send(port, { client: "admin", path, method })).pipe(
    Effect.map((answer) => (answer.status === 200 ? answer.body : answer.status))
  )

/** Asserts that every endpoint shows the namespace `later` with its one deployment. */
const assertShown = Effect.gen(function* () {
  assert.include(yield* body("/namespaces"), '"later"')
  assert.strictEqual(yield* body(deployments), '{"namespace":"later","deployments":["web"]}')
  assert.strictEqual(yield* body(count), one)
  assert.include(yield* body("/namespaces/ANY/deployments"), '{"namespace":"later","deployments":["web"]}')
  assert.strictEqual(yield* body("/namespaces/ANY/deployments/web/replica_count"), `[${one}]`)
  assert.strictEqual(
    yield* body(`${deployments}/ANY/replica_count`),
    '{"namespace":"later","deployments":[{"deployment":"web","replica_count":7}]}'
  )
  assert.include(yield* body("/namespaces/ANY/deployments/ANY/replica_count"), '{"namespace":"later",')
})

const untilGone = Effect.gen(function* () {
  yield* eventually(body(deployments), (now) => assert.strictEqual(now, 410))
  assert.strictEqual(yield* body(count), 410)
  assert.notInclude(yield* body("/namespaces"), '"later"')
  assert.strictEqual(yield* body("/namespaces/ANY/deployments/web/replica_count"), 410)
})

/** Releases the watch of namespaces, waits until it shows this new one, and asserts that `later` is shown until its deletion. */
const assertKept = Effect.fnUntraced(function* (another: string) {
  const { cluster, faults } = yield* EmbeddedKube
  yield* faults.releaseWatches("namespaces")
  yield* cluster.createNamespace(another)
  yield* eventually(body("/namespaces"), (names) => String(names).includes(`"${another}"`))
  yield* assertShown
  yield* cluster.deleteNamespace("later")
  yield* untilGone
})

withService()("a write in a namespace whose watch event is held back", (it) => {
  it.effect("is read on the same instance, until the namespace is deleted", () =>
    Effect.gen(function* () {
      const { cluster, faults, ...kube } = yield* EmbeddedKube
      yield* kube.awaitWatches(2)
      assert.strictEqual(yield* faults.stallWatches("namespaces"), 1)
      yield* cluster.createNamespace("later")
      yield* cluster.putDeployment("later", "web", 2)
      assert.strictEqual(yield* body(deployments), 410)
      assert.strictEqual(yield* body(`${count}/7`, "PUT"), "{}")
      yield* assertShown
      yield* assertKept("another")
    })
  )

  it.effect("is not undone by the events of an earlier namespace of this name", () =>
    Effect.gen(function* () {
      const { cluster, faults, ...kube } = yield* EmbeddedKube
      yield* kube.awaitWatches(2)
      assert.strictEqual(yield* faults.stallWatches("namespaces"), 1)
      yield* cluster.createNamespace("later")
      yield* cluster.deleteNamespace("later")
      yield* cluster.createNamespace("later")
      yield* cluster.putDeployment("later", "web", 2)
      assert.strictEqual(yield* body(`${count}/7`, "PUT"), "{}")
      yield* assertShown
      yield* assertKept("third")
    })
  )
})

withService({ watch: { namespaces: [ns("personal"), ns("later")], pollEvery: "1 second" } })(
  "a write in a namespace of KUBE_NAMESPACES that the poll has not seen",
  (it) => {
    const polls = Effect.gen(function* () {
      const { requests } = yield* EmbeddedKube
      return (yield* requests).filter(({ path }) => path === "/api/v1/namespaces/later").length
    })
    /** Waits until a round has begun. */
    const untilPolled = Effect.gen(function* () {
      const before = yield* polls
      yield* eventually(polls, (now) => now > before)
    })

    it.effect("is read on the same instance, until the namespace is deleted", () =>
      Effect.gen(function* () {
        const { cluster } = yield* EmbeddedKube
        yield* untilPolled
        yield* cluster.createNamespace("later")
        yield* cluster.putDeployment("later", "web", 2)
        assert.strictEqual(yield* body(`${count}/7`, "PUT"), "{}")
        yield* assertShown
        for (let round = 0; round < 3; round++) {
          yield* untilPolled
          yield* assertShown
        }
        yield* cluster.deleteNamespace("later")
        yield* untilGone
      })
    )

    it.effect("is gone within two rounds if the namespace is deleted before the poll has seen it", () =>
      Effect.gen(function* () {
        const { cluster } = yield* EmbeddedKube
        yield* untilPolled
        yield* cluster.createNamespace("later")
        yield* cluster.putDeployment("later", "web", 2)
        assert.strictEqual(yield* body(`${count}/7`, "PUT"), "{}")
        yield* assertShown
        yield* cluster.deleteNamespace("later")
        const before = yield* polls
        yield* eventually(body(count), (now) => now === 410)
        // One round may have begun before the write, and another after the second that did not find the namespace.
        assert.isAtMost((yield* polls) - before, 3)
        yield* untilGone
      })
    )
  }
)
