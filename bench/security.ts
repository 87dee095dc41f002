/** What policy authorization and rate limits together cost a cached read, in CPU time of the server process. */
import { Effect } from "effect"
import { demoSettings } from "../test/integration/Process.ts"
import { ratio, table, takeTurns } from "./Turns.ts"

const requests = 4000
const goal = 0.15

const main = Effect.gen(function* () {
  const measured = yield* takeTurns(
    (["no", "yes"] as const).map((secured) => ({
      name: `authorization and rate limits: ${secured}`,
      program: "bench/VariantServer.ts",
      settings: { ...demoSettings, SECURED: secured }
    })),
    { requests, rounds: 25 }
  )
  const [open, secured] = measured
  const share = ratio(secured, open) - 1
  process.stdout.write(
    `${table(measured, requests)}\ntogether ${(100 * share).toFixed(1)} % of a read without them (goal: at most ${100 * goal} %)\n`
  )
})

await Effect.runPromise(Effect.scoped(main))
