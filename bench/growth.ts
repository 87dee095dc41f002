/** CPU of reading one replica count against the size of the cluster, and of reading a list against its own size. */
import { Effect } from "effect"
import { agent, send } from "../test/support/Https.ts"
import { makeLoad } from "./Load.ts"
import { plot } from "./Plot.ts"
import { startCluster, startService } from "./Programs.ts"
import { isQuick, print, result, table, title } from "./Report.ts"
import { figures, median, ratios, spread } from "./Spread.ts"
import { takeTurns } from "./Turns.ts"

const sized = [10, 100, 1000, 10_000]

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  yield* title("growth")
  const load = yield* makeLoad
  const rounds = quick ? 1 : 5
  const pool = yield* agent("viewer", 1)

  const sizes = quick ? [100, 1000] : [100, 1000, 10_000, 100_000]
  const flat = yield* Effect.scoped(
    Effect.gen(function* () {
      const services = yield* Effect.forEach(sizes, (size) =>
        Effect.gen(function* () {
          const cluster = yield* startCluster({ namespaces: size / 100, each: 100 })
          return { size, server: yield* startService(cluster) }
        })
      )
      const read = ({ server, size }: (typeof services)[number]) => {
        const namespace = `load-${String(Math.floor(size / 200)).padStart(5, "0")}`
        const path = `/namespaces/${namespace}/deployments/deployment-00050/replica_count`
        return load(server, { path, connections: 32, count: quick ? 2000 : 20_000 })
      }
      yield* Effect.forEach(services, read)
      return yield* takeTurns(services, rounds, read)
    })
  )
  yield* print(`One count against the deployments in the cluster; ${rounds} rounds, 32 connections\n`)
  const smallest = figures(flat[0]?.results ?? [], "micros")
  yield* table(
    ["deployments", "CPU µs", `relative to ${sizes[0]}`],
    flat.map(({ contender, results }) => [
      contender.size,
      spread(figures(results, "micros")),
      spread(ratios(figures(results, "micros"), smallest), 2)
    ])
  )
  yield* result(
    `CPU of one count of ${sizes.at(-1)}, relative to ${sizes[0]}`,
    ratios(figures(flat.at(-1)?.results ?? [], "micros"), smallest),
    { atMost: 1.1 }
  )

  const service = yield* startService(yield* startCluster({ namespaces: 1, each: 1, sized }))
  const lists = yield* Effect.forEach(sized, (size) =>
    Effect.gen(function* () {
      const path = `/namespaces/sized-${size}/deployments/ANY/replica_count`
      const { body } = yield* send(service.port, { client: "viewer", path, agent: pool })
      return { size, path, bytes: body.length }
    })
  )
  const list = ({ path, size }: (typeof lists)[number]) =>
    load(service, { path, connections: 8, count: Math.round((quick ? 20_000 : 200_000) / Math.max(20, size / 10)) })
  yield* Effect.forEach(lists, list)
  const linear = yield* takeTurns(lists, rounds, list)
  const points = linear.map(({ contender, results }) => ({ ...contender, micros: median(figures(results, "micros")) }))
  const perKilobyte = points.slice(1).map((point, index) => {
    const before = points[index]
    return before === undefined ? Number.NaN : (1000 * (point.micros - before.micros)) / (point.bytes - before.bytes)
  })
  yield* print(`\nA list of counts against its own size; ${rounds} rounds, 8 connections\n`)
  yield* table(
    ["deployments", "bytes", "CPU µs", "CPU µs for each further kB"],
    linear.map(({ contender, results }, index) => [
      contender.size,
      contender.bytes,
      spread(figures(results, "micros")),
      index === 0 ? "" : (perKilobyte[index - 1] ?? Number.NaN).toFixed(2)
    ])
  )
  yield* plot(
    "growth-reads",
    { title: "CPU of reading one replica count", x: "deployments in the cluster", y: "µs per request" },
    [
      {
        name: "GET of one count",
        points: flat.map(({ contender, results }) => [contender.size, median(figures(results, "micros"))])
      }
    ]
  )
  yield* plot(
    "growth-lists",
    { title: "CPU of reading a list of replica counts", x: "bytes of the list", y: "µs per request", logY: true },
    [{ name: "GET of the list", points: points.map(({ bytes, micros }) => [bytes, micros]) }]
  )
})

await Effect.runPromise(Effect.scoped(main))
