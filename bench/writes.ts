/**
 * Writes a second and their latency through the service (PUT), against the same merge patches of the scales sent directly to
 * the cluster (PATCH). The difference is the service's part.
 */
import { Effect } from "effect"
import { Agent, request } from "node:http"
import { agent, send } from "../test/support/Https.ts"
import { startCluster, startService } from "./Programs.ts"
import { cpuMicros } from "./ProcessUsage.ts"
import { isQuick, print, result, table, title } from "./Report.ts"
import { figures, median, quantile, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

const namespaces = 20
const each = 50

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  const count = quick ? 300 : 4000
  yield* title("writes")
  const cluster = yield* startCluster({ namespaces, each })
  const service = yield* startService(cluster)
  const plain = yield* Effect.acquireRelease(
    Effect.sync(() => new Agent({ keepAlive: true })),
    (pool) => Effect.sync(() => pool.destroy())
  )
  const pool = yield* agent("admin", 64)
  const numbered = (word: string, index: number) => `${word}-${String(index).padStart(5, "0")}`
  let serial = 0
  /** The next deployment, and a count that differs from its current one. */
  const next = () => {
    const index = serial++ % (namespaces * each)
    return {
      namespace: numbered("load", Math.floor(index / each)),
      name: numbered("deployment", index % each),
      replicas: 100 + serial
    }
  }
  const patch = Effect.suspend(() => {
    const { name, namespace, replicas } = next()
    return Effect.callback<number, Error>((resume) => {
      const path = `${cluster.url}/apis/apps/v1/namespaces/${namespace}/deployments/${name}/scale?fieldManager=bench`
      const headers = { "content-type": "application/merge-patch+json" }
      const sent = request(path, { method: "PATCH", agent: plain, headers }, (response) => {
        response.resume()
        response.on("end", () => resume(Effect.succeed(response.statusCode ?? 0)))
      })
      sent.on("error", (error) => resume(Effect.fail(error)))
      sent.end(JSON.stringify({ spec: { replicas } }))
    })
  })
  const put = Effect.suspend(() => {
    const { name, namespace, replicas } = next()
    const path = `/namespaces/${namespace}/deployments/${name}/replica_count/${replicas}`
    return Effect.map(send(service.port, { client: "admin", method: "PUT", path, agent: pool }), ({ status }) => status)
  })
  const contenders = [
    { name: "PUT", write: put },
    { name: "PATCH", write: patch }
  ]

  const rows = []
  const compared = []
  for (const concurrency of [1, 32]) {
    const measure = Effect.fnUntraced(function* ({ write }: (typeof contenders)[number]) {
      const millis: Array<number> = []
      const before = cpuMicros(service.pid)
      const began = performance.now()
      yield* Effect.forEach(
        Array.from({ length: count }),
        Effect.fnUntraced(function* () {
          const sent = performance.now()
          const status = yield* write
          if (status !== 200) return yield* Effect.die(new Error(`a write got ${status}`))
          millis.push(performance.now() - sent)
        }),
        { concurrency, discard: true }
      )
      return {
        perSecond: (count * 1000) / (performance.now() - began),
        micros: (cpuMicros(service.pid) - before) / count,
        p50: quantile(millis, 0.5),
        p99: quantile(millis, 0.99)
      }
    })
    yield* Effect.forEach(contenders, measure)
    const turns = yield* takeTurns(contenders, quick ? 1 : 7, measure)
    for (const { contender, results } of turns) {
      rows.push([
        contender.name,
        concurrency,
        spread(figures(results, "perSecond"), 0),
        spread(figures(results, "p50"), 2),
        spread(figures(results, "p99"), 2),
        spread(figures(results, "micros"), 0)
      ])
    }
    const [ours = [], direct = []] = turns.map(({ results }) => figures(results, "p50"))
    compared.push({ concurrency, own: median(ours) - median(direct), ratio: ratios(ours, direct) })
  }
  yield* print(`${count} writes a round, each of a new count\n`)
  yield* table(["write", "at once", "writes/s", "p50, ms", "p99, ms", "CPU, µs"], rows)
  for (const { concurrency, own, ratio } of compared) {
    yield* print(`The service adds ${own.toFixed(2)} ms to the median with ${concurrency} at once`)
    yield* result(`median latency with ${concurrency} at once, relative to the direct write`, ratio)
  }
})

await Effect.runPromise(Effect.scoped(main))
