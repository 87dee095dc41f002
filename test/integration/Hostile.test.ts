import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { attack, type Reads, steadyReads } from "../support/Attack.ts"
import { demoSettings, start } from "../support/Process.ts"

/** What the attackers say last of what they have done. */
const Tallies = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ opened: Schema.Number, answers: Schema.Number }))
)

const expectAll = ({ asked, millis, failures }: Reads) => {
  assert.deepStrictEqual(failures, [])
  assert.strictEqual(millis.length, asked)
}

describe("while connections dribble bytes and clients without a certificate flood", () => {
  for (const [name, sources, attempts] of [
    ["from many addresses", 50, 1],
    // Among strangers from one address a newcomer is one of them until its handshake is done: it may have to come again.
    ["from the client's own address alone", 1, 3]
  ] as const) {
    it.live(`an identified client's reads all succeed: ${name}`, () =>
      Effect.gen(function* () {
        // Far more attackers than there is room for.
        const service = yield* start({
          ...demoSettings,
          MAX_CONNECTIONS: "300",
          MAX_CONNECTIONS_PER_ADDRESS: "200",
          TLS_HANDSHAKE_TIMEOUT: "1s",
          HEADERS_TIMEOUT: "2s"
        })
        const port = yield* service.port
        yield* service.printed("Ready")
        const attackers = yield* Effect.forEach(
          [
            { handshakes: 250, headers: 250, sources },
            { flooders: 40, sources },
            { flooders: 10, pipelined: 500, sources }
          ],
          (one) => attack(port, one)
        )
        for (const { printed } of attackers) yield* printed("\n")
        const [kept, fresh] = yield* Effect.all(
          [
            steadyReads(port, { perSecond: 50, count: 300, keptAlive: true }),
            steadyReads(port, { perSecond: 10, count: 60, keptAlive: false, attempts })
          ],
          { concurrency: "unbounded" }
        )
        expectAll(kept)
        expectAll(fresh)
        const tallies = attackers.map(({ output }) => Tallies(output().trimEnd().split("\n").at(-1) ?? ""))
        assert.isAbove(
          tallies.reduce((sum, { opened }) => sum + opened, 0),
          300
        )
        assert.isAbove(
          tallies.reduce((sum, { answers }) => sum + answers, 0),
          100
        )
      })
    )
  }
})
