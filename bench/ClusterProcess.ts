/**
 * An embedded cluster in a process of its own, with deployments of more than 4 kB of JSON: `EACH` in each of `NAMESPACES`
 * namespaces, and a namespace for each number in `SIZED` with as many. It prints the URL of its API.
 */
import { Config, Context, Effect, Layer } from "effect"
import { EmbeddedKube } from "../src/embedded/EmbeddedKube.ts"

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

  process.stdout.write(`${JSON.stringify({ url: kube.url })}\n`)
  return yield* Effect.never
})

await Effect.runPromise(Effect.scoped(main))
