/**
 * An embedded cluster in a process of its own, with deployments of more than 4 kB of JSON: `EACH` in each of `NAMESPACES`
 * namespaces, and a namespace for each number in `SIZED` with as many. It prints the URLs of its API and of its control
 * server. `POST /?perSecond=N&seconds=N&from=N` to the latter changes deployments at that rate. A change sets the count to
 * the microseconds since `from` on the machine's monotonic clock, so that a reader knows its age. About 50 changes a second
 * are of the probe, deployment-00000 of load-00000; the response lists their times.
 */
import { Config, Context, Effect, Layer } from "effect"
import { createServer } from "node:http"
import { EmbeddedKube } from "../src/embedded/EmbeddedKube.ts"
import { monotonicMicros } from "./MonotonicClock.ts"
import { paced } from "./Pace.ts"

const padding = 3200

const numbered = (word: string, index: number): string => `${word}-${String(index).padStart(5, "0")}`

const sizedSeed = (sizes: ReadonlyArray<number>) =>
  Object.fromEntries(
    sizes.map((size) => [
      `sized-${size}`,
      Object.fromEntries(Array.from({ length: size }, (_, index) => [numbered("deployment", index), 1 + (index % 10)]))
    ])
  )

const main = Effect.gen(function* () {
  const namespaces = yield* Config.Int("NAMESPACES")
  const each = yield* Config.Int("EACH")
  const sizes = (yield* Config.withDefault(Config.String("SIZED"), "")).split(",").filter((size) => size !== "")
  const kube = Context.get(yield* Layer.build(EmbeddedKube.layer({ seed: sizedSeed(sizes.map(Number)) })), EmbeddedKube)
  yield* kube.cluster.seedMany(namespaces, each, { padding })
  // Forget the history of the seeding.
  yield* kube.compact

  const change = Effect.fnUntraced(function* (perSecond: number, seconds: number, from: number) {
    const everyNth = Math.max(1, Math.round(perSecond / 50))
    const probed: Array<number> = []
    let count = 0
    yield* paced({ perSecond, seconds, spin: false }, () => {
      const at = monotonicMicros() - from
      const index = count++
      if (index % everyNth === 0) probed.push(at)
      const which = index % everyNth === 0 ? 0 : 1 + (index % (namespaces * each - 1))
      Effect.runSync(
        Effect.orDie(
          kube.cluster.putDeployment(
            numbered("load", Math.floor(which / each)),
            numbered("deployment", which % each),
            at
          )
        )
      )
    })
    return { count, probed }
  })

  const control = createServer((request, response) => {
    const query = new URL(request.url ?? "/", "http://cluster").searchParams
    const number = (name: string) => Number(query.get(name))
    void Effect.runPromise(
      Effect.map(change(number("perSecond"), number("seconds"), number("from")), (changed) =>
        response.end(JSON.stringify(changed))
      )
    )
  })
  control.listen(0, "127.0.0.1", () => {
    const address = control.address()
    const port = address === null || typeof address === "string" ? 0 : address.port
    process.stdout.write(`${JSON.stringify({ url: kube.url, control: `http://127.0.0.1:${port}` })}\n`)
  })
  return yield* Effect.never
})

await Effect.runPromise(Effect.scoped(main))
