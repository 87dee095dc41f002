/**
 * How soon a change in the cluster is seen by a GET: milliseconds from the moment the change is made (its watch event
 * leaves the API) to the end of the first GET over mutual TLS that shows it. Baseline of the same run: one such GET by
 * itself. Then what a sync of 20,000 deployments in 500 namespaces asks of the cluster.
 */
import { Duration, Effect, Logger } from "effect"
import { EmbeddedKube } from "../src/embedded/EmbeddedKube.ts"
import { agent, send } from "../test/integration/Https.ts"
import { TestService } from "../test/integration/TestService.ts"

const quantile = (sorted: ReadonlyArray<number>, q: number) => sorted[Math.floor((sorted.length - 1) * q)] ?? Number.NaN

const line = (name: string, millis: ReadonlyArray<number>) => {
  const sorted = millis.toSorted((a, b) => a - b)
  return `${name.padEnd(24)} ${[0.5, 0.9, 0.99].map((q) => quantile(sorted, q).toFixed(2).padStart(8)).join(" ")}`
}

const print = (text: string) => Effect.sync(() => process.stdout.write(`${text}\n`))

const changes = 500

const freshness = Effect.gen(function* () {
  const kube = yield* EmbeddedKube
  const { port } = yield* TestService
  const pool = yield* agent("viewer", 1)
  const read = send(port, {
    client: "viewer",
    agent: pool,
    path: "/namespaces/personal/deployments/nginx/replica_count"
  })
  const visible = (expected: string): Effect.Effect<void, Error> =>
    Effect.flatMap(read, ({ body }) => (body.endsWith(expected) ? Effect.void : visible(expected)))
  const baseline: Array<number> = []
  const seen: Array<number> = []
  for (let count = 1; count <= changes; count++) {
    const before = performance.now()
    yield* read
    baseline.push(performance.now() - before)
    const changed = performance.now()
    yield* kube.cluster.putDeployment("personal", "nginx", count + 100)
    yield* visible(`:${count + 100}}`)
    seen.push(performance.now() - changed)
  }
  yield* print(`freshness, ${changes} changes, ms${" ".repeat(4)}p50      p90      p99`)
  yield* print(line("one GET (baseline)", baseline))
  yield* print(line("change to visible", seen))
})

const sync = Effect.gen(function* () {
  const kube = yield* EmbeddedKube
  const { cache } = yield* TestService
  yield* kube.faults.hang(false)
  yield* kube.faults.dropWatches()
  const before = performance.now()
  yield* cache.awaitSynced
  const lists = (yield* kube.requests).filter(({ items }) => items !== undefined)
  yield* print(
    `sync of 20,000 deployments in 500 namespaces: ${(performance.now() - before).toFixed(0)} ms with paged lists, ` +
      `${lists.length} list responses, the largest of ${Math.max(...lists.map(({ items }) => items ?? 0))} objects`
  )
})

const main = Effect.gen(function* () {
  yield* Effect.scoped(freshness.pipe(Effect.provide(TestService.layer())))
  yield* Effect.scoped(
    sync.pipe(
      Effect.provide(
        TestService.layer({
          kube: { streamingLists: false, maxPageSize: 500 },
          unsynced: Effect.flatMap(EmbeddedKube, (kube) =>
            Effect.andThen(kube.faults.hang(true), kube.cluster.seedMany(500, 40, { padding: 3000 }))
          )
        })
      )
    )
  )
}).pipe(Effect.provide(Logger.layer([])), Effect.timeout(Duration.minutes(2)))

await Effect.runPromise(main)
